{{/* Names are fixed, not derived from the release: the admission policies and the agents know them. */}}
{{- define "havip.operator" -}}havip-operator{{- end }}
{{- define "havip.node" -}}havip-node{{- end }}

{{- define "havip.labels" -}}
app.kubernetes.io/part-of: havip-operator
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_") }}
{{- end }}

{{- define "havip.operator.selector" -}}
app.kubernetes.io/name: havip-operator
app.kubernetes.io/component: operator
{{- end }}

{{/* An image as one word, from {repository, tag, digest}. */}}
{{- define "havip.image" -}}
{{- if .digest -}}{{ .repository }}@{{ .digest }}{{- else -}}{{ .repository }}:{{ .tag }}{{- end -}}
{{- end }}

{{- define "havip.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{/* What every container of the operator's image gets, hook Jobs included. */}}
{{- define "havip.operator.securityContext" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
privileged: false
readOnlyRootFilesystem: true
runAsGroup: 64103
runAsNonRoot: true
runAsUser: 64103
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "havip.operator.podSecurityContext" -}}
fsGroup: 64103
runAsNonRoot: true
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* A value (from fromYaml, so no integers) as a CEL literal. Kubernetes' CEL wants every entry of a literal map or
list to be of one type, hence dyn() around each. */}}
{{- define "havip.cel" -}}
{{- if kindIs "map" . -}}
{{- $entries := list -}}
{{- range $key, $value := . -}}
{{- $entries = append $entries (printf "%s: dyn(%s)" ($key | toJson) (include "havip.cel" $value)) -}}
{{- end -}}
{ {{- join ", " $entries -}} }
{{- else if kindIs "slice" . -}}
{{- $entries := list -}}
{{- range . -}}
{{- $entries = append $entries (printf "dyn(%s)" (include "havip.cel" .)) -}}
{{- end -}}
[{{- join ", " $entries -}}]
{{- else if kindIs "float64" . -}}
{{ printf "%d" (int64 .) }}
{{- else -}}
{{ . | toJson }}
{{- end -}}
{{- end }}

{{/* The names of a list of objects as a CEL list. */}}
{{- define "havip.names" -}}
{{- $names := list -}}
{{- range . -}}{{- $names = append $names .name -}}{{- end -}}
{{ $names | toJson }}
{{- end }}
