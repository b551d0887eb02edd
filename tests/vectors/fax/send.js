const FaxbotClient = require('faxbot');
const client = new FaxbotClient('http://localhost:8080', process.env.API_KEY);
const job = await client.sendFax('+15551234567', '/path/to/file.pdf');
console.log(job);
