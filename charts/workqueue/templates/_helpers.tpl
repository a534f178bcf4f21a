{{- define "workqueue.name" -}}
{{- .Values.fullnameOverride | default .Release.Name -}}
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
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- /* Without versions: a new chart alone must not restart a pod. */ -}}
{{- define "workqueue.podLabels" -}}
{{ include "workqueue.selectorLabels" . }}
app.kubernetes.io/component: worker
app.kubernetes.io/part-of: workqueue
{{- end -}}

{{- define "workqueue.labels" -}}
{{ include "workqueue.podLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}
