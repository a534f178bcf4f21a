{{- /* What values.schema.json cannot refuse in words: its messages for patterns are the patterns. */ -}}
{{- define "workqueue-operator.checks" -}}
{{- range .Values.watchNamespaces }}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" .) }}
{{- fail (printf "watchNamespaces has %q, which is no name of a namespace: use lower-case letters, digits and hyphens" .) }}
{{- end }}
{{- end }}
{{- with .Values.fullnameOverride }}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" .) }}
{{- fail (printf "fullnameOverride is %q, which is no name of a Service: use lower-case letters, digits and hyphens" .) }}
{{- end }}
{{- end }}
{{- with .Values.image.digest }}
{{- if not (regexMatch "^sha256:[0-9a-f]{64}$" .) }}
{{- fail (printf "image.digest is %q: set it to sha256: and 64 hexadecimal digits, as the registry shows it, or leave it empty to use image.tag" .) }}
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
{{- end -}}
