{{- /* Of two queues in one release, as two aliases of this chart, each has a name of its own: .Chart.Name is the alias. */ -}}
{{- define "workqueue.name" -}}
{{- $alias := printf "%s-%s" .Release.Name .Chart.Name | lower | replace "_" "-" -}}
{{- $name := .Values.fullnameOverride | default (eq .Chart.Name "workqueue" | ternary .Release.Name $alias) -}}
{{- if gt (len $name) 56 -}}
{{- fail (printf "the name %s is longer than 56 characters, which leaves no room for -worker: set fullnameOverride" $name) -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{- define "workqueue.deployment" -}}
{{- printf "%s-worker" (include "workqueue.name" .) -}}
{{- end -}}

{{- define "workqueue.queue" -}}
{{- .Values.queue.name | default (include "workqueue.name" .) -}}
{{- end -}}

{{- define "workqueue.deadLetterQueue" -}}
{{- .Values.queue.deadLetterQueue | default (printf "%s.dead" (include "workqueue.queue" .)) -}}
{{- end -}}

{{- define "workqueue.selectorLabels" -}}
app.kubernetes.io/name: workqueue-worker
app.kubernetes.io/instance: {{ include "workqueue.name" . | quote }}
{{- end -}}

{{- /* Without versions: a new chart alone must not restart a pod. */ -}}
{{- define "workqueue.podLabels" -}}
{{ include "workqueue.selectorLabels" . }}
app.kubernetes.io/component: worker
app.kubernetes.io/part-of: workqueue
{{- end -}}

{{- define "workqueue.labels" -}}
{{ include "workqueue.podLabels" . }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "workqueue.image" -}}
{{- with .Values.image -}}
{{- ternary (printf "%s@%s" .repository .digest) (printf "%s:%s" .repository (.tag | default $.Chart.AppVersion)) (ne .digest "") -}}
{{- end -}}
{{- end -}}
