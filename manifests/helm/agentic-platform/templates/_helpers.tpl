{{/* Labels of every object; the argument is a dict of root and name. */}}
{{- define "agentic.labels" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/part-of: agentic-platform
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{/* The image of a program; the argument is a dict of root and program. */}}
{{- define "agentic.image" -}}
{{- $images := .root.Values.images }}
{{- $image := get $images .program }}
{{- if $images.registry }}{{ trimSuffix "/" $images.registry }}/{{ end }}{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $images.tag | default .root.Chart.AppVersion }}{{ end }}
{{- end }}

{{/* What every pod has; the argument is a dict of root, name, and optionally settings (nodeSelector, tolerations). */}}
{{- define "agentic.pod" -}}
{{- with .root.Values.images.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with .settings }}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{/* Spread of a Deployment's pods; the argument is the value of app.kubernetes.io/name. */}}
{{- define "agentic.spread" -}}
topologySpreadConstraints:
  {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {app.kubernetes.io/name: {{ $ }}}
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}

{{/* What every container has; the argument is a dict of root, program (of the image), resources,
     and optionally mounts: names of volumes with Secrets. */}}
{{- define "agentic.container" -}}
image: {{ include "agentic.image" . }}
imagePullPolicy: {{ .root.Values.images.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
resources: {{- toYaml .resources | nindent 2 }}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
  {{- range .mounts }}
  - {name: {{ . }}, mountPath: /etc/agentic/{{ . }}, readOnly: true}
  {{- end }}
{{- end }}

{{/* The only writable folder of a container. */}}
{{- define "agentic.volumes" -}}
volumes:
  - name: tmp
    emptyDir: {sizeLimit: 64Mi}
{{- end }}

{{/* Ports of a server; metrics are not where tenants' pods come. */}}
{{- define "agentic.ports" -}}
ports:
  - {name: http, containerPort: 8080}
  - {name: metrics, containerPort: 9090}
{{- end }}

{{/* Probes of a server. Readiness is about what it needs, liveness about itself, on the port named `liveness`. */}}
{{- define "agentic.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: {{ .liveness | default "http" }}}
  periodSeconds: 1
  failureThreshold: 60
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 5
  timeoutSeconds: 3
livenessProbe:
  httpGet: {path: /healthz, port: {{ .liveness | default "http" }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end }}

{{/* Settings that every program reads. */}}
{{- define "agentic.env" -}}
- {name: AGENTIC_LOG_LEVEL, value: {{ .Values.logLevel }}}
{{- with .Values.otlpEndpoint }}
- {name: AGENTIC_OTLP_ENDPOINT, value: {{ . | quote }}}
{{- end }}
{{- end }}

{{/* An environment variable from a Secret; the argument is a dict of env, name and key. */}}
{{- define "agentic.secretEnv" -}}
- name: {{ .env }}
  valueFrom:
    secretKeyRef: {name: {{ .name }}, key: {{ .key }}}
{{- end }}

{{/* User name of a program's ServiceAccount; the argument is a dict of root and name. */}}
{{- define "agentic.user" -}}
system:serviceaccount:{{ .root.Release.Namespace }}:{{ .name }}
{{- end }}

{{/* An egress rule; the argument is a dict of to (empty: everywhere) and ports. */}}
{{- define "agentic.egress" -}}
- ports:
    {{- range .ports }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
  {{- with .to }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{/* Further settings as environment variables; the argument is a map. JSON, because large numbers print badly else. */}}
{{- define "agentic.settings" -}}
{{- range $name, $value := . }}
- {name: AGENTIC_{{ upper $name }}, value: {{ $value | toJson | trimAll "\"" | quote }}}
{{- end }}
{{- end }}
