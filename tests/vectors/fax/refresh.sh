curl -sS -X POST -H "X-API-Key: $API_KEY" \
  http://localhost:8080/admin/fax-jobs/6034835ea0e84528af720eabb147cb7d/refresh
