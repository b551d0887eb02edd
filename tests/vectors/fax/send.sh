curl -sS -X POST \
  -H "X-API-Key: $API_KEY" \
  -F to="+15551234567" \
  -F file=@/path/to/file.pdf \
  http://localhost:8080/fax
