// Cuts the operations our stand-in answers out of GitHub's published OpenAPI description.
//
//   node subset.mjs NODE_MODULES OUTPUT
//
// Request bodies are closed (unknown properties are refused), which GitHub's text leaves open.
// A nullable enumeration gets null among its values: OpenAPI 3.0 wants it written out, GitHub
// leaves it out and answers null all the same. The validator wants the same for `anyOf`.
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { routes } from '../fakes/github/rest.mjs';

// By the prefix of the names taken from it: github.com, and what only Enterprise Cloud has.
const kDescriptions = {
  '': '@octokit/openapi/generated/api.github.com.json',
  'ghec.': '@octokit/openapi/generated/ghec.json',
};
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

// Copies everything `node` refers to into `components`, transitively, under names with `prefix`.
function collect(document, node, components, prefix) {
  if (node === null || typeof node !== 'object') return;
  if (typeof node.$ref === 'string') {
    const [, , section, name] = node.$ref.split('/');
    const own = prefix + name;
    if (components[section]?.[own] === undefined) {
      components[section] ??= {};
      components[section][own] = tidied(lookUp(document, node.$ref));
      collect(document, components[section][own], components, prefix);
    }
    node.$ref = `#/components/${section}/${own}`;
  }
  for (const value of Object.values(node)) collect(document, value, components, prefix);
}

// documents: [prefix, description] in the order in which an operation is looked for.
export function cut(documents) {
  const [, { openapi, info }] = documents[0];
  const subset = { openapi, info, paths: {}, components: {} };
  for (const { path, method } of routes) {
    const found = documents.find(([, document]) => document.paths[path]?.[method]);
    if (!found) throw new Error(`GitHub's description has no ${method} ${path}`);
    const [prefix, document] = found;
    const copy = tidied(document.paths[path][method]);
    const body = copy.requestBody?.content?.['application/json']?.schema;
    if (body?.type === 'object') body.additionalProperties = false;
    subset.paths[path] ??= {};
    subset.paths[path][method] = copy;
    collect(document, copy, subset.components, prefix);
  }
  return subset;
}

const [modules, output] = process.argv.slice(2);
if (output) {
  const documents = Object.entries(kDescriptions).map(([prefix, path]) => [
    prefix,
    JSON.parse(readFileSync(`${modules}/${path}`, 'utf8')),
  ]);
  const partial = `${output}.${process.pid}`;
  writeFileSync(partial, JSON.stringify(cut(documents)));
  renameSync(partial, output);
}
