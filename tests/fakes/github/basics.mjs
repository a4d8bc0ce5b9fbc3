// What all parts of the stand-in share.

export const iso = (ms) => new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');

// An answer that is a refusal, thrown.
export class Refusal extends Error {
  constructor(status, message, fields = {}) {
    super(message);
    this.status = status;
    this.fields = fields;
  }
}
