{{/* A policy for one program up to its variables and validations, and its binding; the argument is a dict of root, name,
     user (name of the program), rules (of matchConstraints) and optionally others (whether it is for everybody else). */}}
{{- define "agentic.policy" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ .name }}
  labels: {{- include "agentic.labels" . | nindent 4 }}
spec:
  policyName: {{ .name }}
  validationActions: [Deny]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: {{ .name }}
  labels: {{- include "agentic.labels" . | nindent 4 }}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
      {{- range .rules }}
      - {apiGroups: {{ toJson .apiGroups }}, apiVersions: ["*"], operations: {{ toJson .operations }}, resources: {{ toJson .resources }}}
      {{- end }}
  {{- if .user }}
  matchConditions:
    - name: by-the-program
      expression: request.userInfo.username {{ if .others }}!={{ else }}=={{ end }} '{{ include "agentic.user" (dict "root" .root "name" .user) }}'
  {{- end }}
{{- end }}

{{/* A policy for what the operator makes of one resource; the argument is a dict of root, name, group and resource. */}}
{{- define "agentic.operatorPolicy" -}}
{{- $rule := dict "apiGroups" (list .group) "operations" (list "CREATE" "UPDATE") "resources" (list .resource) }}
{{- include "agentic.policy" (dict "root" .root "name" .name "user" "agentic-operator" "rules" (list $rule)) }}
{{- end }}

{{/* Variables with the labels and annotations of an object before and after the request. */}}
{{- define "agentic.metadataVariables" -}}
- name: labelsBefore
  expression: "oldObject != null && has(oldObject.metadata.labels) ? oldObject.metadata.labels : {}"
- name: labels
  expression: "object != null && has(object.metadata.labels) ? object.metadata.labels : {}"
- name: annotationsBefore
  expression: "oldObject != null && has(oldObject.metadata.annotations) ? oldObject.metadata.annotations : {}"
- name: annotations
  expression: "object != null && has(object.metadata.annotations) ? object.metadata.annotations : {}"
- name: finalizersBefore
  expression: "oldObject != null && has(oldObject.metadata.finalizers) ? oldObject.metadata.finalizers : []"
- name: finalizers
  expression: "object != null && has(object.metadata.finalizers) ? object.metadata.finalizers : []"
- name: ownersBefore
  expression: "oldObject != null && has(oldObject.metadata.ownerReferences) ? oldObject.metadata.ownerReferences : []"
- name: owners
  expression: "object != null && has(object.metadata.ownerReferences) ? object.metadata.ownerReferences : []"
{{- end }}

{{/* Variables and validations by which a program changes nothing of an object but some finalizers; the argument is a dict of
     program, which (words) and own (an expression on the finalizer `one`). */}}
{{- define "agentic.onlyFinalizers" -}}
variables:
  {{- include "agentic.metadataVariables" . | nindent 2 }}
validations:
  - expression: >-
      oldObject != null && has(object.spec) == has(oldObject.spec) && (!has(object.spec) || object.spec == oldObject.spec)
      && variables.labels == variables.labelsBefore && variables.annotations == variables.annotationsBefore
      && variables.owners == variables.ownersBefore
      && [variables.finalizers, variables.finalizersBefore].all(list,
      list.all(one, {{ .own }} || (one in variables.finalizers && one in variables.finalizersBefore)))
    messageExpression: "'{{ .program }} changes nothing of a ' + request.kind.kind + ' but its finalizers, and of those only {{ .which }}'"
    reason: Forbidden
{{- end }}
