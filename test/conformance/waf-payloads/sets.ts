/** The sets of payloads: each of their entries as requests, with what is wished of them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { WafRequest } from '../../../src/native/waf.ts';
import { type DataDirectory, textField } from '../data.ts';
import {
  asBody,
  escaped,
  inField,
  inForm,
  inGrpc,
  inJson,
  inMultipart,
  inParameter,
  inPath,
  inSoap,
  requestOf,
} from './place.ts';

export interface Payload {
  /** `set/case`. */
  readonly id: string;
  readonly set: string;
  readonly attack: boolean;
  readonly request: WafRequest;
}

type Row = Readonly<Record<string, unknown>>;

/** Every payload of every set that is there. `note` is told what cannot be placed. */
export function readPayloads(data: DataDirectory, note: (line: string) => void): Payload[] {
  return [...gotestwaf(data, note), ...httpparams(data), ...nemesida(data)];
}

const ENCODERS: Readonly<Record<string, (text: string) => string>> = {
  Plain: (text) => text,
  URL: escaped,
  Base64: (text) => Buffer.from(text, 'latin1').toString('base64'),
  JSUnicode: (text) =>
    utf16(text)
      .map((unit) => `\\u${hex(unit, 4)}`)
      .join(''),
  XMLEntity: (text) =>
    utf16(text)
      .map((unit) => `&#x${hex(unit, 1)};`)
      .join(''),
  Base64Flat: (text) => Buffer.from(text, 'latin1').toString('base64').replaceAll('=', ''),
};

const PLACES: Readonly<Record<string, (payload: string) => WafRequest>> = {
  URLPath: inPath,
  URLParam: inParameter,
  HTMLForm: inForm,
  HTMLMultipartForm: inMultipart,
  JSONBody: (payload) => asBody('application/json', payload),
  JSONRequest: inJson,
  XMLBody: (payload) => asBody('text/xml', payload),
  SOAPBody: inSoap,
  Header: (payload) => inField('X-Payload', payload),
  UserAgent: (payload) => inField('User-Agent', payload),
  RequestBody: (payload) => requestOf('POST', '/', [], payload),
  gRPC: inGrpc,
};

/** One request for each encoder and place of each case. */
function gotestwaf(data: DataDirectory, note: (line: string) => void): Payload[] {
  const set = 'waf-gotestwaf';
  const out: Payload[] = [];
  for (const one of data.cases(set, 'cases.json') ?? []) {
    const payload = bytes(textField(one, 'payload'));
    for (const encoder of list(one['encoder']).map(String)) {
      const encode = ENCODERS[encoder];
      if (encode === undefined) {
        note(`${set}: left out, the encoder ${encoder} is unknown: ${textField(one, 'id')}`);
        continue;
      }
      for (const place of list(one['placeholder'])) {
        const name = typeof place === 'string' ? place : (Object.keys(place as Row)[0] ?? '');
        const id = `${set}/${textField(one, 'id')}/${encoder}/${name}`;
        const request = requestAt(place, encode(payload), encoder);
        if (request === undefined) note(`${set}: left out, the placeholder ${name} is unknown: ${id}`);
        else out.push({ id, set, attack: one['expect'] === 'block', request });
      }
    }
  }
  return out;
}

function requestAt(place: unknown, payload: string, encoder: string): WafRequest | undefined {
  if (typeof place === 'string') {
    // In a form and a query, what is not escaped yet is, as a client would.
    if (encoder === 'Plain' && (place === 'HTMLForm' || place === 'URLParam')) return PLACES[place]?.(escaped(payload));
    return PLACES[place]?.(payload);
  }
  const [name, options] = Object.entries(place as Readonly<Record<string, Row>>)[0] ?? ['', {}];
  const filled = (text: string): string => bytes(text).replaceAll('{{payload}}', payload);
  const method = textField(options, 'method') || 'GET';
  if (name === 'RawRequest') {
    const headers = Object.entries((options['headers'] ?? {}) as Readonly<Record<string, string>>);
    const fields = headers.map(([field, value]) => [field, filled(value)] as const);
    return requestOf(method, filled(textField(options, 'path') || '/'), fields, filled(textField(options, 'body')));
  }
  if (name === 'GraphQL')
    return method === 'GET' ? requestOf('GET', `/?query=${escaped(payload)}`) : asBody('application/json', payload);
  return PLACES[name]?.(payload);
}

/** Each value as `/?id=`. */
function httpparams(data: DataDirectory): Payload[] {
  const set = 'waf-httpparams';
  const out: Payload[] = [];
  for (const file of data.files(set, 'payloads.csv')) {
    const [, ...rows] = readCsv(readFileSync(join(data.path, set, file), 'utf8'));
    for (const [i, [payload = '', , kind = '', label]] of rows.entries())
      out.push({
        id: `${set}/${kind}-${i + 1}`,
        set,
        attack: label === 'anom',
        request: requestOf('GET', `/?id=${escaped(bytes(payload))}`),
      });
  }
  return out;
}

/** One request for each zone of each entry; the encodings that the set would try in addition are left out. */
function nemesida(data: DataDirectory): Payload[] {
  const set = 'waf-nemesida-bypass';
  const out: Payload[] = [];
  for (const one of data.cases(set, 'cases.json') ?? [])
    for (const [i, entry] of list(one['payload']).entries()) {
      const row = entry as Row;
      for (const [zone, value] of Object.entries(row)) {
        const request = typeof value === 'string' ? zoned(zone, bytes(value), row) : undefined;
        if (request === undefined) continue;
        out.push({ id: `${set}/${textField(one, 'id')}/${i}/${zone}`, set, attack: row['BLOCKED'] === true, request });
      }
    }
  return out;
}

function zoned(zone: string, payload: string, row: Row): WafRequest | undefined {
  switch (zone) {
    case 'URL':
      return inPath(payload);
    case 'ARGS':
      return requestOf('GET', `/?${payload}`);
    case 'COOKIE':
      return inField('Cookie', `sid=${payload}`);
    case 'USER-AGENT':
      return inField('User-Agent', payload);
    case 'REFERER':
      return inField('Referer', payload);
    case 'HEADER':
      return inField('X-Payload', payload);
    case 'BODY': {
      const boundary = row['BOUNDARY'];
      if (typeof boundary === 'string') return asBody(`multipart/form-data; boundary=${boundary}`, payload);
      const json = row['JSON'] === true || /^\s*[{[]/.test(payload);
      return asBody(json ? 'application/json' : 'application/x-www-form-urlencoded', payload);
    }
    default:
      return undefined;
  }
}

function utf16(text: string): number[] {
  const decoded = Buffer.from(text, 'latin1').toString('utf8');
  return Array.from({ length: decoded.length }, (_, i) => decoded.charCodeAt(i));
}

function hex(n: number, digits: number): string {
  return n.toString(16).padStart(digits, '0');
}

/** UTF-8 as Latin-1. */
function bytes(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : value === undefined || value === null ? [] : [value];
}

/** RFC 4180. */
export function readCsv(text: string): string[][] {
  const rows: string[][] = [];
  let row: string[] = [];
  const field = /(?:"((?:[^"]|"")*)"|([^,\r\n]*))(,|\r?\n|$)/gy;
  while (field.lastIndex < text.length) {
    const match = field.exec(text);
    if (match === null) throw new Error(`row ${rows.length + 1} is not CSV`);
    row.push(match[1] === undefined ? (match[2] ?? '') : match[1].replaceAll('""', '"'));
    if (match[3] === ',') continue;
    rows.push(row);
    row = [];
  }
  return rows;
}
