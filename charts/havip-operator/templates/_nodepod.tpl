{{/*
The node pod. The operator copies it into one DaemonSet per class and sets only labels, nodeSelector, tolerations and
the value of HAVIP_CLASS; the admission policy of node-pods holds it to every other word of it.

Each folder below /run/havip is one direction: writable in exactly one container, read-only in the others. A socket in a
folder mounted read-only still connects.

  folder           written by   read by
  election         agent        keeper
  state            keeper       agent
  haproxy-config   agent        haproxy
  haproxy          haproxy      agent, keeper
  keeper           keeper       -

`prepare` is the agent's code at another time: it writes haproxy's first configuration and ends before the others start.
*/}}
{{- define "havip.nodePod" -}}
metadata:
  labels:
    app.kubernetes.io/name: havip-node
    app.kubernetes.io/component: node
    app.kubernetes.io/part-of: havip-operator
    {{- with .Values.node.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    # `kubectl logs` and `kubectl exec` without -c: the half that explains itself.
    kubectl.kubernetes.io/default-container: agent
    {{- with .Values.node.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "havip.node" . }}
  # The token goes into the agent alone, by the volume `api-access`.
  automountServiceAccountToken: false
  enableServiceLinks: false
  hostNetwork: true
  dnsPolicy: Default
  priorityClassName: {{ .Values.node.priorityClassName }}
  terminationGracePeriodSeconds: {{ .Values.node.terminationGracePeriodSeconds }}
  {{- include "havip.pullSecrets" . | nindent 2 }}
  securityContext:
    fsGroup: 64100
    seccompProfile: {type: RuntimeDefault}
  initContainers:
  - name: prepare
    image: {{ include "havip.image" .Values.image.node }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    command: [python3, -m, havip.agent, prepare]
    securityContext:
      {{- include "havip.nodePod.unprivileged" 64101 | nindent 6 }}
    resources:
      {{- toYaml .Values.node.resources.agent | nindent 6 }}
    volumeMounts:
    - {name: haproxy-config, mountPath: /run/havip/haproxy-config}
  - name: agent
    image: {{ include "havip.image" .Values.image.node }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    restartPolicy: Always
    command: [python3, -m, havip.agent]
    env:
    {{- include "havip.nodePod.env" . | nindent 4 }}
    securityContext:
      {{- include "havip.nodePod.unprivileged" 64101 | nindent 6 }}
    resources:
      {{- toYaml .Values.node.resources.agent | nindent 6 }}
    volumeMounts:
    - {name: election, mountPath: /run/havip/election}
    - {name: state, mountPath: /run/havip/state, readOnly: true}
    - {name: haproxy-config, mountPath: /run/havip/haproxy-config}
    - {name: haproxy, mountPath: /run/havip/haproxy, readOnly: true}
    - {name: agent-tmp, mountPath: /tmp}
    - {name: api-access, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
  - name: haproxy
    image: {{ include "havip.image" .Values.image.haproxy }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    restartPolicy: Always
    command: [haproxy, -W, -S, "/run/havip/haproxy/master.sock,mode,660", -f, /run/havip/haproxy-config/haproxy.cfg]
    securityContext:
      # A process that is not root binds port 80 by the file capability of its binary: Kubernetes gives no ambient ones.
      # no_new_privs (allowPrivilegeEscalation false) lets a file capability through only if the process that executes
      # the file holds it already. The runtime's first process does, by `add` below; a shell in between would not.
      # So haproxy is the command itself, never a script.
      allowPrivilegeEscalation: false
      capabilities: {add: [NET_BIND_SERVICE], drop: [ALL]}
      privileged: false
      readOnlyRootFilesystem: true
      runAsGroup: 64100
      runAsNonRoot: true
      runAsUser: 64102
      seccompProfile: {type: RuntimeDefault}
    resources:
      {{- toYaml .Values.node.resources.haproxy | nindent 6 }}
    volumeMounts:
    - {name: haproxy-config, mountPath: /run/havip/haproxy-config, readOnly: true}
    - {name: haproxy, mountPath: /run/havip/haproxy}
  containers:
  - name: keeper
    image: {{ include "havip.image" .Values.image.node }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    command: [python3, -m, havip.keeper]
    env:
    {{- include "havip.nodePod.env" . | nindent 4 }}
    # What is left is for keepalived, haproxy and the agent to end.
    - {name: HAVIP_GRACE_SECONDS, value: {{ max 1 (sub (int .Values.node.terminationGracePeriodSeconds) 6) | quote }}}
    # Ready = it has applied orders. A roll-out that did not wait for this could take the last node that holds a VIP
    # before the first one can. Not a startup or liveness probe: a keeper without orders must never be killed for it.
    readinessProbe:
      exec: {command: [grep, -q, '"appliedGeneration":[1-9]', /run/havip/state/state.json]}
      failureThreshold: 3
      initialDelaySeconds: 1
      periodSeconds: 5
      successThreshold: 1
      timeoutSeconds: 5
    securityContext:
      allowPrivilegeEscalation: false
      capabilities: {add: [NET_ADMIN, NET_RAW], drop: [ALL]}
      privileged: false
      readOnlyRootFilesystem: true
      runAsGroup: 0
      runAsUser: 0
      seccompProfile: {type: RuntimeDefault}
    resources:
      {{- toYaml .Values.node.resources.keeper | nindent 6 }}
    volumeMounts:
    - {name: election, mountPath: /run/havip/election, readOnly: true}
    - {name: state, mountPath: /run/havip/state}
    - {name: haproxy, mountPath: /run/havip/haproxy, readOnly: true}
    - {name: keeper, mountPath: /run/havip/keeper}
    - {name: keeper-tmp, mountPath: /tmp}
  volumes:
  - {name: election, emptyDir: {medium: Memory, sizeLimit: 8Mi}}
  - {name: state, emptyDir: {medium: Memory, sizeLimit: 8Mi}}
  - {name: haproxy-config, emptyDir: {medium: Memory, sizeLimit: 16Mi}}
  - {name: haproxy, emptyDir: {medium: Memory, sizeLimit: 8Mi}}
  - {name: keeper, emptyDir: {medium: Memory, sizeLimit: 8Mi}}
  - {name: agent-tmp, emptyDir: {medium: Memory, sizeLimit: 16Mi}}
  - {name: keeper-tmp, emptyDir: {medium: Memory, sizeLimit: 8Mi}}
  - name: api-access
    projected:
      defaultMode: 420
      sources:
      - serviceAccountToken: {expirationSeconds: 3600, path: token}
      - configMap:
          name: kube-root-ca.crt
          items: [{key: ca.crt, path: ca.crt}]
      - downwardAPI:
          items: [{fieldRef: {apiVersion: v1, fieldPath: metadata.namespace}, path: namespace}]
{{- end }}

{{- define "havip.nodePod.env" -}}
- {name: HAVIP_CLASS, value: "set-by-the-operator"}
- {name: HAVIP_NODE, valueFrom: {fieldRef: {apiVersion: v1, fieldPath: spec.nodeName}}}
- {name: HAVIP_NAMESPACE, valueFrom: {fieldRef: {apiVersion: v1, fieldPath: metadata.namespace}}}
{{- end }}

{{/* The security context of a container that needs nothing; the argument is its user. */}}
{{- define "havip.nodePod.unprivileged" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
privileged: false
readOnlyRootFilesystem: true
runAsGroup: 64100
runAsNonRoot: true
runAsUser: {{ . }}
seccompProfile: {type: RuntimeDefault}
{{- end }}
