// Cuts the operations our stand-in answers out of GitHub's published OpenAPI description.
//
//   node subset.mjs NODE_MODULES OUTPUT
//
// Request bodies are closed (unknown properties are refused), which GitHub's text leaves open.
// A nullable enumeration gets null among its values: OpenAPI 3.0 wants it written out, GitHub
// leaves it out and answers null all the same. The validator wants the same for `anyOf`.
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { routes } from '../fakes/github/rest.mjs';

const kDescription = '@octokit/openapi/generated/api.github.com.json';
const kDropped = new Set(['examples', 'example', 'x-github', 'x-octokit', 'externalDocs']);

function lookUp(document, reference) {
  return reference
    .slice(2)
    .split('/')
    .reduce((node, name) => node[name.replaceAll('~1', '/').replaceAll('~0', '~')], document);
}

function tidied(node) {
  if (Array.isArray(node)) return node.map(tidied);
  if (node === null || typeof node !== 'object') return node;
  const copy = {};
  for (const [name, value] of Object.entries(node)) {
    // Below `properties` the names are GitHub's own: one may be called "example".
    if (name === 'properties') copy[name] = mapValues(value, tidied);
    else if (!kDropped.has(name)) copy[name] = tidied(value);
  }
  if (copy.nullable && copy.enum && !copy.enum.includes(null)) copy.enum.push(null);
  if (copy.nullable && copy.anyOf && !copy.type) {
    delete copy.nullable;
    copy.anyOf.push({ enum: [null] });
  }
  return copy;
}

const mapValues = (object, change) =>
  Object.fromEntries(Object.entries(object).map(([name, value]) => [name, change(value)]));

// Copies everything `node` refers to into `components`, transitively.
function collect(document, node, components) {
  if (node === null || typeof node !== 'object') return;
  if (typeof node.$ref === 'string') {
    const [, , section, name] = node.$ref.split('/');
    if (components[section]?.[name] === undefined) {
      components[section] ??= {};
      components[section][name] = tidied(lookUp(document, node.$ref));
      collect(document, components[section][name], components);
    }
  }
  for (const value of Object.values(node)) collect(document, value, components);
}

export function cut(document) {
  const subset = { openapi: document.openapi, info: document.info, paths: {}, components: {} };
  for (const { path, method } of routes) {
    const operation = document.paths[path]?.[method];
    if (!operation) throw new Error(`GitHub's description has no ${method} ${path}`);
    const copy = tidied(operation);
    const body = copy.requestBody?.content?.['application/json']?.schema;
    if (body?.type === 'object') body.additionalProperties = false;
    subset.paths[path] ??= {};
    subset.paths[path][method] = copy;
    collect(document, copy, subset.components);
  }
  return subset;
}

const [modules, output] = process.argv.slice(2);
if (output) {
  const document = JSON.parse(readFileSync(`${modules}/${kDescription}`, 'utf8'));
  const partial = `${output}.${process.pid}`;
  writeFileSync(partial, JSON.stringify(cut(document)));
  renameSync(partial, output);
}
