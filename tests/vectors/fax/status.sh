curl -sS -H "X-API-Key: $API_KEY" \
  http://localhost:8080/fax/083fe9ce0b2e440e85aca37681830caa
