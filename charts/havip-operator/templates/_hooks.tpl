{{/* Annotations of a hook: {on, weight}. Hooks of lower weight come first. */}}
{{- define "havip.hook" -}}
helm.sh/hook: {{ .on }}
helm.sh/hook-weight: {{ .weight | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}

{{/* The pod of a hook Job: {root, account, command}. */}}
{{- define "havip.hookPod" -}}
{{- $values := .root.Values -}}
metadata:
  labels:
    app.kubernetes.io/name: {{ .account }}
    app.kubernetes.io/component: hook
    app.kubernetes.io/part-of: havip-operator
spec:
  restartPolicy: Never
  serviceAccountName: {{ .account }}
  automountServiceAccountToken: true
  enableServiceLinks: false
  {{- include "havip.pullSecrets" .root | nindent 2 }}
  securityContext:
    {{- include "havip.operator.podSecurityContext" .root | nindent 4 }}
  {{- with $values.hooks.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.hooks.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
  - name: hook
    image: {{ include "havip.image" $values.image.operator }}
    imagePullPolicy: {{ $values.image.pullPolicy }}
    command: {{ .command | toJson }}
    env:
    - {name: HAVIP_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
    securityContext:
      {{- include "havip.operator.securityContext" .root | nindent 6 }}
    resources:
      {{- toYaml $values.hooks.resources | nindent 6 }}
    volumeMounts:
    - {name: tmp, mountPath: /tmp}
  volumes:
  - {name: tmp, emptyDir: {medium: Memory, sizeLimit: 16Mi}}
{{- end }}
