{{- /* What values.schema.json cannot refuse in words: its messages for patterns are the patterns. */ -}}
{{- define "workqueue-operator.checks" -}}
{{- range .Values.watchNamespaces }}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" .) }}
{{- fail (printf "watchNamespaces has %q, which is no name of a namespace: use lower-case letters, digits and hyphens" .) }}
{{- end }}
{{- end }}
{{- with .Values.dashboards.namespace }}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" .) }}
{{- fail (printf "dashboards.namespace is %q, which is no name of a namespace: use lower-case letters, digits and hyphens" .) }}
{{- end }}
{{- end }}
{{- with .Values.fullnameOverride }}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" .) }}
{{- fail (printf "fullnameOverride is %q, which is no name of a Service: use lower-case letters, digits and hyphens" .) }}
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
{{- $own := include "workqueue-operator.podLabels" . | fromYaml }}
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
{{- with get $.Values.serviceMonitor $name }}
{{- if not (regexMatch "^([0-9]+(ms|s|m|h))+$" .) }}
{{- fail (printf "serviceMonitor.%s is %q: set a duration such as 15s or 1m" $name .) }}
{{- end }}
{{- end }}
{{- end }}
{{- /* The Prometheus operator would leave such a monitor out, and say so in its own log alone. */ -}}
{{- with .Values.serviceMonitor }}
{{- if and .interval .scrapeTimeout (gt (include "workqueue-operator.milliseconds" .scrapeTimeout | int) (include "workqueue-operator.milliseconds" .interval | int)) }}
{{- fail (printf "serviceMonitor.scrapeTimeout is %s, more than serviceMonitor.interval, which is %s: lower scrapeTimeout or raise interval" .scrapeTimeout .interval) }}
{{- end }}
{{- end }}
{{- with .Values.prometheusRule }}
{{- if and .runbookUrlPattern (not (contains "%s" .runbookUrlPattern)) }}
{{- fail (printf "prometheusRule.runbookUrlPattern is %q: it needs %%s, which becomes the alert's name in lower case, such as https://docs.example.com/runbooks.md#%%s" .runbookUrlPattern) }}
{{- end }}
{{- range .keepLabels }}
{{- if not (regexMatch "^[a-zA-Z_][a-zA-Z0-9_]*$" .) }}
{{- fail (printf "prometheusRule.keepLabels has %q, which is no name of a label: use letters, digits and underscores" .) }}
{{- end }}
{{- end }}
{{- /* Below 0.95 the fastest burn, 14.4 times the allowed share, would be more than all tasks, and never come. */ -}}
{{- if or (lt (float64 .slo.objective) 0.95) (gt (float64 .slo.objective) 0.9999) }}
{{- fail (printf "prometheusRule.slo.objective is %v: set it to 0.95 to 0.9999, the share of tasks that start in time" .slo.objective) }}
{{- end }}
{{- end }}
{{- with .Values.networkPolicy }}
{{- if and .enabled $.Values.serviceMonitor.enabled (not .metricsFrom) }}
{{- fail "serviceMonitor.enabled and networkPolicy.enabled are both true, and no peer may read the metrics: set networkPolicy.metricsFrom to where Prometheus runs, such as [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]" }}
{{- end }}
{{- end }}
{{- end -}}

{{- /* Of a duration such as 1m30s. */ -}}
{{- define "workqueue-operator.milliseconds" -}}
{{- $total := 0 }}
{{- range regexFindAll "[0-9]+(ms|s|m|h)" . -1 }}
{{- $unit := get (dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000) (regexFind "[a-z]+" .) }}
{{- $total = add $total (mul (regexFind "[0-9]+" . | int64) $unit) }}
{{- end }}
{{- $total }}
{{- end -}}
