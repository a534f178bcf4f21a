{{- /* What values.schema.json cannot refuse in words: its messages for patterns are the patterns. */ -}}
{{- define "workqueue.checks" -}}
{{- with .Values.broker.secretName }}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$" .) }}
{{- fail (printf "broker.secretName is %q, which is no name of a Secret: use lower-case letters, digits, hyphens and dots" .) }}
{{- end }}
{{- end }}
{{- with .Values.fullnameOverride }}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" .) }}
{{- fail (printf "fullnameOverride is %q: use lower-case letters, digits and hyphens" .) }}
{{- end }}
{{- end }}
{{- range $name := list "name" "deadLetterQueue" }}
{{- with get $.Values.queue $name }}
{{- if regexMatch "[\\x00-\\x1f\\x7f-\\x{9f}]" . }}
{{- fail (printf "queue.%s is %q: set a name without control characters" $name .) }}
{{- end }}
{{- if hasPrefix "amq." . }}
{{- fail (printf "queue.%s is %q, and RabbitMQ keeps names that start with amq. for itself: choose another name" $name .) }}
{{- end }}
{{- end }}
{{- end }}
{{- if eq (include "workqueue.deadLetterQueue" .) (include "workqueue.queue" .) }}
{{- fail "queue.deadLetterQueue is the queue itself, so that a failed task would come back forever: name another queue, or leave it empty" }}
{{- end }}
{{- if and (not .Values.queue.deadLetterQueue) (gt (len (include "workqueue.queue" .)) 250) }}
{{- fail "queue.name is longer than 250 bytes in UTF-8, too long for the default name of the dead-letter queue, which has .dead at its end. Choose a shorter name, or set queue.deadLetterQueue" }}
{{- end }}
{{- if and .Values.handler .Values.command }}
{{- fail "handler and command are both set: a worker runs one of them. Leave the other one empty" }}
{{- end }}
{{- if and (eq .Values.queue.type "Quorum") (gt (int .Values.maxAttempts) (int .Values.queue.deliveryLimit)) }}
{{- fail "maxAttempts is more than queue.deliveryLimit: RabbitMQ would remove a failing task before a worker can dead-letter it with the reason. Lower maxAttempts or raise queue.deliveryLimit" }}
{{- end }}
{{- $max := int (include "workqueue.maxReplicas" .) }}
{{- if gt (int .Values.scaling.minReplicas) $max }}
{{- fail (printf "scaling.minReplicas is %d, more than scaling.maxReplicas, which is %d: lower minReplicas or raise maxReplicas" (int .Values.scaling.minReplicas) $max) }}
{{- end }}
{{- with .Values.scaling.fallback }}
{{- if gt (int .replicas) $max }}
{{- fail (printf "scaling.fallback.replicas is %d, more than scaling.maxReplicas, which is %d: lower fallback.replicas or raise maxReplicas" (int .replicas) $max) }}
{{- end }}
{{- end }}
{{- /* The last one of a name would hold: the worker would take its tasks from another queue than the operator reads. */ -}}
{{- $names := dict }}
{{- range (include "workqueue.surroundings" . | fromYaml).env }}
{{- if hasKey $names .name }}
{{- fail (printf "env has %s, which this chart sets itself, or which is there twice: set the chart's value for it, and leave it out of env" .name) }}
{{- end }}
{{- $_ := set $names .name true }}
{{- end }}
{{- with .Values.handler }}
{{- if not (regexMatch "^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_.]*$" .) }}
{{- fail (printf "handler is %q: set it to MODULE:FUNCTION, such as my_tasks:handle" .) }}
{{- end }}
{{- end }}
{{- if regexMatch "[:@][^/]*$" .Values.image.repository }}
{{- fail (printf "image.repository is %q: the tag goes into image.tag, or the digest into image.digest" .Values.image.repository) }}
{{- end }}
{{- with .Values.image.digest }}
{{- if not (regexMatch "^sha256:[0-9a-f]{64}$" .) }}
{{- fail (printf "image.digest is %q: set it to sha256: and 64 hexadecimal digits, as the registry shows it, or leave it empty to use image.tag" .) }}
{{- end }}
{{- end }}
{{- if not (regexMatch "^[1-9][0-9]*(Ki|Mi|Gi|Ti|k|M|G|T)$" .Values.tmpSizeLimit) }}
{{- fail (printf "tmpSizeLimit is %q: set it to a size such as 1Gi" .Values.tmpSizeLimit) }}
{{- end }}
{{- $own := include "workqueue.podLabels" . | fromYaml }}
{{- range $name, $value := .Values.podLabels }}
{{- if hasKey $own $name }}
{{- fail (printf "podLabels has %s, which this chart sets itself: choose another name" $name) }}
{{- end }}
{{- end }}
{{- range $name, $value := .Values.commonLabels }}
{{- if or (hasPrefix "app.kubernetes.io/" $name) (hasPrefix "helm.sh/" $name) }}
{{- fail (printf "commonLabels has %s, which this chart sets itself: choose another name" $name) }}
{{- end }}
{{- end }}
{{- range $name := list "interval" "scrapeTimeout" }}
{{- with get $.Values.podMonitor $name }}
{{- if not (regexMatch "^([0-9]+(ms|s|m|h))+$" .) }}
{{- fail (printf "podMonitor.%s is %q: set a duration such as 15s or 1m" $name .) }}
{{- end }}
{{- end }}
{{- end }}
{{- /* The Prometheus operator would leave such a monitor out, and say so in its own log alone. */ -}}
{{- with .Values.podMonitor }}
{{- if and .interval .scrapeTimeout (gt (include "workqueue.milliseconds" .scrapeTimeout | int) (include "workqueue.milliseconds" .interval | int)) }}
{{- fail (printf "podMonitor.scrapeTimeout is %s, more than podMonitor.interval, which is %s: lower scrapeTimeout or raise interval" .scrapeTimeout .interval) }}
{{- end }}
{{- end }}
{{- with .Values.networkPolicy }}
{{- if and .enabled $.Values.podMonitor.enabled (not .metricsFrom) }}
{{- fail "podMonitor.enabled and networkPolicy.enabled are both true, and Prometheus may not read the metrics: set networkPolicy.metricsFrom to where Prometheus runs, such as [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]" }}
{{- end }}
{{- if and .extraEgress (not .restrictEgress) }}
{{- fail "networkPolicy.extraEgress is set, and networkPolicy.restrictEgress is false, so that workers may connect anywhere: set restrictEgress to true" }}
{{- end }}
{{- if and .restrictEgress (not .enabled) }}
{{- fail "networkPolicy.restrictEgress is true and networkPolicy.enabled is false, so that nothing is restricted: set enabled to true" }}
{{- end }}
{{- end }}
{{- end -}}

{{- /* Of a duration such as 1m30s. */ -}}
{{- define "workqueue.milliseconds" -}}
{{- $total := 0 }}
{{- range regexFindAll "[0-9]+(ms|s|m|h)" . -1 }}
{{- $unit := get (dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000) (regexFind "[a-z]+" .) }}
{{- $total = add $total (mul (regexFind "[0-9]+" . | int64) $unit) }}
{{- end }}
{{- $total }}
{{- end -}}
