{{- /* Rendered by `npm run render` from k8s/ and config/production.yaml; edit those, or monitoring/render/chart.ts. */ -}}
{{- define "support-bot.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else }}{{ .Values.image.repository }}:{{ .Values.image.tag }}{{ end }}
{{- end }}
{{- /* Named by its content, so that a change rolls out and pods of an old revision keep theirs. */ -}}
{{- define "support-bot.config" -}}
support-bot-config-{{ .Values.config | sha256sum | trunc 10 }}
{{- end }}
