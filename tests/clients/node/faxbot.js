// A client of the fax contract in Node's own fetch, with the calls of the contract's page.
'use strict';
const {readFile} = require('node:fs/promises');
const {basename, extname} = require('node:path');

const TYPES = {'.pdf': 'application/pdf', '.txt': 'text/plain'};

module.exports = class FaxbotClient {
  constructor(base, key) {
    this.base = base.replace(/\/$/, '');
    this.headers = key ? {'X-API-Key': key} : {};
  }

  async sendFax(to, file) {
    const type = TYPES[extname(file)];
    if (!type) throw new Error(`${basename(file)} is neither .pdf nor .txt`);
    const form = new FormData();
    form.set('to', to);
    form.set('file', new Blob([await readFile(file)], {type}), basename(file));
    return this.asked('/fax', {method: 'POST', body: form});
  }

  async getStatus(id) {
    return this.asked(`/fax/${encodeURIComponent(id)}`);
  }

  async checkHealth() {
    return (await this.asked('/health')).status === 'ok';
  }

  async asked(path, options = {}) {
    const answer = await fetch(this.base + path, {...options, headers: this.headers});
    const said = await answer.json();
    if (!answer.ok) throw Object.assign(new Error(JSON.stringify(said.detail)), {status: answer.status});
    return said;
  }
};
