{{- define "workqueue-operator.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "workqueue-operator.selectorLabels" -}}
app.kubernetes.io/name: workqueue-operator
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- /* Of the pod of `helm test`, which no selector of the operator's finds. */ -}}
{{- define "workqueue-operator.testLabels" -}}
app.kubernetes.io/name: workqueue-operator-test
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: test
app.kubernetes.io/part-of: workqueue
{{- end -}}

{{- /* Without versions: a new chart alone must not restart a pod. */ -}}
{{- define "workqueue-operator.podLabels" -}}
{{ include "workqueue-operator.selectorLabels" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: workqueue
{{- end -}}

{{- define "workqueue-operator.labels" -}}
{{ include "workqueue-operator.podLabels" . }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- /* Of an object with labels of its own, each of which takes the place of a common one: (list CONTEXT LABELS). */ -}}
{{- define "workqueue-operator.labelsWith" -}}
{{- $labels := include "workqueue-operator.labels" (first .) | fromYaml -}}
{{- merge (dict) (last . | default dict) $labels | toYaml -}}
{{- end -}}

{{- define "workqueue-operator.image" -}}
{{- with .Values.image -}}
{{- .digest | empty | ternary (printf "%s:%s" .repository (.tag | default $.Chart.AppVersion)) (printf "%s@%v" .repository .digest) -}}
{{- end -}}
{{- end -}}

{{- /* What the operator does in a namespace that it serves; each rule is a call in its code. */ -}}
{{- define "workqueue-operator.rules" -}}
# What is wanted: kopf's watch; get: one object, for explain
- apiGroups: [workqueue.dev]
  resources: [workqueues]
  verbs: [get, list, watch]
# What was seen and decided
- apiGroups: [workqueue.dev]
  resources: [workqueues/status]
  verbs: [patch]
# The targets: size, rollout and selector; kopf's watch, get: after a conflict
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch]
# The one thing that is scaled
- apiGroups: [apps]
  resources: [deployments/scale]
  verbs: [patch]
# Whether another autoscaler has the target; then we stand back
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [list]
# Which workers are ready, where to ask them; patch: the deletion cost of idle ones before a scale-down
- apiGroups: [""]
  resources: [pods]
  verbs: [list, patch]
# Address and login of the brokers
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
# One Event a change; patch: the count of a repeated one
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
{{- end -}}
