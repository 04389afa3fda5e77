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

{{/* An egress rule; the argument is a dict of to, ports, and advice for when `to` is empty, which would mean everywhere:
     rules add up, and one that is open makes the exceptions of all others worthless. */}}
{{- define "agentic.egress" -}}
{{- if not .to }}{{ fail .advice }}{{ end -}}
- ports:
    {{- range .ports }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
  to: {{- toYaml .to | nindent 4 }}
{{- end }}

{{/* The egress rule to the API server: as the values say, else to where the cluster says that it is: the address of its
     Service, and those behind it. */}}
{{- define "agentic.apiServer" -}}
{{- $values := .Values.networkPolicy.apiServer }}
{{- $to := $values.to }}
{{- $ports := $values.ports }}
{{- if not $to }}
{{- $addresses := dig "spec" "clusterIPs" list (lookup "v1" "Service" "default" "kubernetes") }}
{{- $slice := lookup "discovery.k8s.io/v1" "EndpointSlice" "default" "kubernetes" }}
{{- range dig "endpoints" list $slice }}{{ $addresses = concat $addresses .addresses }}{{ end }}
{{- range dig "ports" list $slice }}{{ $ports = append $ports (int .port) }}{{ end }}
{{- range uniq $addresses }}
{{- $to = append $to (dict "ipBlock" (dict "cidr" (printf "%s/%s" . (ternary "128" "32" (contains ":" .))))) }}
{{- end }}
{{- end }}
{{- $advice := "networkPolicy.apiServer.to is empty, and no cluster can be looked at (helm template): list where the API server is, for example [{ipBlock: {cidr: 192.0.2.1/32}}]; kubectl get endpointslices kubernetes prints the addresses" }}
{{- include "agentic.egress" (dict "to" $to "ports" (uniq $ports) "advice" $advice) }}
{{- end }}

{{/* Further settings as environment variables; the argument is a map. JSON, because large numbers print badly else. */}}
{{- define "agentic.settings" -}}
{{- range $name, $value := . }}
- {name: AGENTIC_{{ upper $name }}, value: {{ $value | toJson | trimAll "\"" | quote }}}
{{- end }}
{{- end }}
