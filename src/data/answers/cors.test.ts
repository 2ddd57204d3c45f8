import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CorsConfig } from '../../config/cors.ts';
import { compileCors } from '../../control/compile/cors.ts';
import type { CorsPlan } from '../../snapshot/respond-plans.ts';
import { isAllowed } from './cors.ts';

const given: CorsConfig = {
  allowOrigins: [],
  allowMethods: [],
  allowHeaders: [],
  exposeHeaders: [],
  allowCredentials: false,
  allowPrivateNetwork: false,
  maxAgeSeconds: 600,
};

function compiled(over: Partial<CorsConfig>, named: readonly string[] = []): { plan: CorsPlan; problems: string[] } {
  const problems: string[] = [];
  const plan = compileCors(
    { ...given, ...over },
    '/routes/0/cors',
    { named: new Set(named), replaced: new Set(named) },
    {
      report: (_part, path, message) => problems.push(`${path}: ${message}`),
    },
  );
  return { plan, problems };
}

const origins: readonly [pattern: string, origin: string, allowed: boolean][] = [
  ['https://a.test', 'https://a.test', true],
  ['https://A.test', 'https://a.test', true],
  ['https://a.test', 'http://a.test', false],
  ['https://a.test', 'https://a.test:8443', false],
  ['https://a.test', 'https://a.test.evil', false],
  ['https://a.test', 'https://xa.test', false],
  ['https://*.a.test', 'https://b.a.test', true],
  ['https://*.a.test', 'https://c.b.a.test', true],
  ['https://*.a.test', 'https://a.test', false],
  ['https://*.a.test', 'https://.a.test', false],
  ['https://*.a.test', 'https://xa.test', false],
  ['https://*.a.test', 'https://evil/.a.test', false],
  ['https://*.a.test', 'https://evil:80/x.a.test', false],
  ['https://*.a.test', 'https://evil@b.a.test', false],
  ['https://*.a.test', 'https://evil?b.a.test', false],
  ['https://*.a.test', 'https://b..a.test', false],
  ['https://*.a.test', `https://${'b'.repeat(600)}.a.test`, false],
  ['https://*.a.test:8443', 'https://b.a.test:8443', true],
  ['https://*.a.test:8443', 'https://b.a.test', false],
  ['http://localhost:3000', 'http://localhost:3000', true],
  ['null', 'null', true],
  ['https://a.test', 'null', false],
]; // biome-ignore format: a table
for (const [pattern, origin, allowed] of origins) {
  test(`${pattern} ${allowed ? 'allows' : 'does not allow'} ${origin.slice(0, 40)}`, () => {
    const { plan, problems } = compiled({ allowOrigins: [pattern] });
    assert.deepEqual(problems, []);
    assert.equal(isAllowed(plan, origin), allowed);
  });
}

const wrong: readonly [name: string, over: Partial<CorsConfig>, named: readonly string[], says: RegExp][] = [
  ['every origin with credentials', { allowOrigins: ['*'], allowCredentials: true }, [], /every site could read/],
  ['the origin of any sandboxed frame with credentials', { allowOrigins: ['https://a.test', 'null'], allowCredentials: true }, [], /every site could read/],
  ['every origin and one', { allowOrigins: ['*', 'https://a.test'] }, [], /every origin already/],
  ['a slash at the end', { allowOrigins: ['https://a.test/'] }, [], /no origin/],
  ['a path', { allowOrigins: ['https://a.test/x'] }, [], /no origin/],
  ['no scheme', { allowOrigins: ['a.test'] }, [], /no origin/],
  ['a star within', { allowOrigins: ['https://a.*.test'] }, [], /no origin/],
  ['the usual port', { allowOrigins: ['https://a.test:443'] }, [], /write https:\/\/a\.test$/],
  ['a field that the route sets', { allowOrigins: ['*'] }, ['access-control-allow-origin'], /keep one/],
  ['Vary replaced', { allowOrigins: ['https://a.test'] }, ['vary'], /append/],
]; // biome-ignore format: a table
for (const [name, over, named, says] of wrong) {
  test(`CORS: ${name} is an error`, () => {
    const { problems } = compiled(over, named);
    assert.equal(problems.length, 1, problems.join('\n'));
    assert.match(problems[0] ?? '', says);
  });
}
