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

{{- /* A Service's name has at most 63 characters. */ -}}
{{- define "workqueue.test" -}}
{{- printf "%s-test" (include "workqueue.deployment" . | trunc 58 | trimSuffix "-") -}}
{{- end -}}

{{- define "workqueue.queue" -}}
{{- .Values.queue.name | default (include "workqueue.name" .) -}}
{{- end -}}

{{- define "workqueue.deadLetterQueue" -}}
{{- .Values.queue.deadLetterQueue | default (printf "%s.dead" (include "workqueue.queue" .)) -}}
{{- end -}}

{{- /* Without a value the definition's default holds; 0 is a value. */ -}}
{{- define "workqueue.maxReplicas" -}}
{{- hasKey .Values.scaling "maxReplicas" | ternary .Values.scaling.maxReplicas 50 | int -}}
{{- end -}}

{{- define "workqueue.selectorLabels" -}}
app.kubernetes.io/name: workqueue-worker
app.kubernetes.io/instance: {{ include "workqueue.name" . | quote }}
{{- end -}}

{{- /* Of the pod of `helm test`, which no selector of the workers' finds. */ -}}
{{- define "workqueue.testLabels" -}}
app.kubernetes.io/name: workqueue-worker-test
app.kubernetes.io/instance: {{ include "workqueue.name" . | quote }}
app.kubernetes.io/component: test
app.kubernetes.io/part-of: workqueue
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

{{- /* Of an object with labels of its own, each of which takes the place of a common one: (list CONTEXT LABELS). */ -}}
{{- define "workqueue.labelsWith" -}}
{{- $labels := include "workqueue.labels" (first .) | fromYaml -}}
{{- merge (dict) (last . | default dict) $labels | toYaml -}}
{{- end -}}

{{- define "workqueue.image" -}}
{{- with .Values.image -}}
{{- .digest | empty | ternary (printf "%s:%s" .repository (.tag | default $.Chart.AppVersion)) (printf "%s@%v" .repository .digest) -}}
{{- end -}}
{{- end -}}

{{- /* Of a container that runs the worker's program, in the Deployment and in `helm test`. */ -}}
{{- define "workqueue.surroundings" -}}
env:
  - name: AMQP_SECRET_DIR
    value: /etc/workqueue/broker
  - name: QUEUE_NAME
    value: {{ include "workqueue.queue" . | quote }}
  - name: QUEUE_TYPE
    value: {{ .Values.queue.type | quote }}
  - name: QUEUE_DECLARE
    value: {{ .Values.queue.declare | quote }}
  - name: DEAD_LETTER_QUEUE
    value: {{ include "workqueue.deadLetterQueue" . | quote }}
  - name: TASK_TIMEOUT_SECONDS
    value: {{ .Values.taskTimeoutSeconds | int | quote }}
  - name: WORKER_GRACE_PERIOD_SECONDS
    value: {{ add .Values.taskTimeoutSeconds 10 | quote }}
  - name: WORKER_CONCURRENCY
    value: {{ .Values.concurrency | int | quote }}
  - name: WORKER_MAX_ATTEMPTS
    value: {{ .Values.maxAttempts | int | quote }}
  {{- with .Values.handler }}
  - name: WORKER_HANDLER
    value: {{ . | quote }}
  {{- end }}
  - name: METRICS_PORT
    value: {{ .Values.metricsPort | int | quote }}
  - name: LOG_FORMAT
    value: {{ .Values.logFormat | quote }}
  {{- with .Values.env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .Values.envFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  - name: broker
    mountPath: /etc/workqueue/broker
    readOnly: true
  - name: tmp
    mountPath: /tmp
  {{- with .Values.volumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "workqueue.volumes" -}}
- name: broker
  secret:
    secretName: {{ .Values.broker.secretName | quote }}
    # Readable for whichever user the image runs as; this container has no other user.
    defaultMode: 0444
- name: tmp
  emptyDir:
    sizeLimit: {{ .Values.tmpSizeLimit }}
{{- with .Values.volumes }}
{{- toYaml . | nindent 0 }}
{{- end }}
{{- end -}}
