// Holds requests and answers to GitHub's published OpenAPI, with openapi-backend from beside the
// description file. Only loaded with --openapi.
import { createRequire } from 'node:module';
import { readFileSync, realpathSync } from 'node:fs';

// Answers GitHub gives on every route, which its description leaves out.
const kCommonFailures = [400, 401, 403, 404, 410, 415, 422, 429, 500, 502, 503, 504];

export class Contract {
  violations = [];

  static async load(path) {
    const contract = new Contract();
    const require = createRequire(realpathSync(path));
    const { OpenAPIBackend } = require('openapi-backend');
    const addFormats = require('ajv-formats').default;
    const definition = JSON.parse(readFileSync(path, 'utf8'));
    contract.api = new OpenAPIBackend({
      definition,
      quick: true, // validators are compiled when they are first needed
      coerceTypes: true,
      customizeAjv: (ajv) => addFormats(ajv),
    });
    await contract.api.init();
    return contract;
  }

  operation(route) {
    return this.api.router
      .getOperations()
      .find((each) => each.path === route.path && each.method === route.method);
  }

  // Both return the list of violations, recording them.
  checkRequest(route, request) {
    const operation = this.operation(route);
    if (!operation) return this.record('request', request, ['GitHub has no such operation']);
    const type = (request.headers['content-type'] ?? '').split(';')[0];
    const texts =
      request.body === undefined || type === 'application/json' ? [] : ['not application/json'];
    const result = this.api.validator.validateRequest(request, operation);
    return this.record('request', request, [...texts, ...(result.errors ?? []).map(describe)]);
  }

  checkAnswer(route, request, { status, body }) {
    const operation = this.operation(route);
    const documented = operation.responses[status];
    if (!documented) return this.record('answer', request, this.checkUndocumented(status, body));
    if (!documented.content) {
      return this.record('answer', request, body === undefined ? [] : [`${status} has a body`]);
    }
    const result = this.api.validator.validateResponse(body, operation, status);
    return this.record('answer', request, (result.errors ?? []).map(describe));
  }

  checkUndocumented(status, body) {
    if (!kCommonFailures.includes(status)) return [`status ${status} is not documented`];
    const fine = typeof body?.message === 'string' && typeof body?.documentation_url === 'string';
    return fine ? [] : [`status ${status} without GitHub's error object`];
  }

  record(side, request, problems) {
    for (const problem of problems) {
      const violation = { side, request: `${request.method} ${request.path}`, problem };
      this.violations.push(violation);
      process.stderr.write(`contract violation: ${JSON.stringify(violation)}\n`);
    }
    return problems;
  }
}

const describe = ({ instancePath, message, params }) =>
  `${instancePath || '/'} ${message} ${JSON.stringify(params)}`;
