import assert from 'node:assert/strict';
import { test } from 'node:test';
import { variablesOf } from './waf-variables.ts';

const of = (...args: Parameters<typeof variablesOf>): Record<string, string> =>
  Object.fromEntries(variablesOf(...args).map((v) => [v.name, v.value]));

test('what nobody has written is left to the rules', () => {
  assert.deepEqual(of({}, undefined), {});
  assert.deepEqual(of({ crs: {} }, { crs: {} }), {});
});

test('settings take the forms in which the CRS reads them', () => {
  assert.deepEqual(
    of(
      {
        earlyBlocking: true,
        samplingPercentage: 10,
        threshold: 7,
        outboundThreshold: 8,
        crs: {
          allowedMethods: ['GET', 'PUT'],
          allowedContentTypes: ['application/json', 'text/xml'],
          allowedCharsets: ['utf-8'],
          allowedHttpVersions: ['HTTP/1.1', 'HTTP/2'],
          restrictedExtensions: ['.bak', '.sql'],
          restrictedHeaders: ['proxy', 'if'],
          argumentsMax: 10,
          validateUtf8: false,
          scores: { critical: 6 },
          set: { 'Some-plugin_enabled': '1' },
        },
      },
      undefined,
    ),
    {
      inbound_anomaly_score_threshold: '7',
      outbound_anomaly_score_threshold: '8',
      early_blocking: '1',
      sampling_percentage: '10',
      allowed_methods: 'GET PUT',
      allowed_request_content_type: '|application/json| |text/xml|',
      allowed_request_content_type_charset: '|utf-8|',
      allowed_http_versions: 'HTTP/1.1 HTTP/2',
      restricted_extensions: '.bak/ .sql/',
      restricted_headers_basic: '/proxy/ /if/',
      max_num_args: '10',
      crs_validate_utf8_encoding: '0',
      critical_anomaly_score: '6',
      'some-plugin_enabled': '1',
    },
  );
});

test('a route wins field by field', () => {
  const variables = of(
    { threshold: 5, crs: { argumentsMax: 10, scores: { critical: 6, notice: 1 }, set: { a: '1', b: '1' } } },
    { exclude: [], threshold: 9, crs: { argumentsMax: 20, scores: { critical: 7 }, set: { b: '2' } } } as never,
  );
  assert.deepEqual(variables, {
    inbound_anomaly_score_threshold: '9',
    max_num_args: '20',
    critical_anomaly_score: '7',
    notice_anomaly_score: '1',
    a: '1',
    b: '2',
  });
});

test('detection follows blocking unless it is written, and is never below it', () => {
  for (const [bundle, route, blocking, detection] of [
    [{ paranoiaLevel: 2 }, undefined, '2', '2'],
    [{ paranoiaLevel: 1, detectionParanoiaLevel: 3 }, undefined, '1', '3'],
    [{ detectionParanoiaLevel: 2 }, undefined, undefined, '2'],
    [{ paranoiaLevel: 1, detectionParanoiaLevel: 3 }, { paranoiaLevel: 2 }, '2', '2'],
    [{ paranoiaLevel: 3 }, { detectionParanoiaLevel: 2 }, '3', '3'],
    [{}, { paranoiaLevel: 1, detectionParanoiaLevel: 4 }, '1', '4'],
  ] as const) {
    const variables = of(bundle, route);
    assert.deepEqual(
      [variables['blocking_paranoia_level'], variables['detection_paranoia_level']],
      [blocking, detection],
    );
    // CRS 3 has other names for them.
    assert.deepEqual([variables['paranoia_level'], variables['executing_paranoia_level']], [blocking, detection]);
  }
});
