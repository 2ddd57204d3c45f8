/** Texts that are made for each request. Nothing a client or a token says can begin another field: what a field value cannot hold makes the variable empty. */
import { STATUS_CODES } from 'node:http';
import { present } from '../base/assert.ts';
import type { TextPart, Variable } from '../snapshot/variables.ts';
import { believed } from './answers/received.ts';
import { claimAt, claimText } from './authn/claims.ts';
import { countryOf } from './country.ts';
import type { Exchange } from './exchange.ts';

/** What a value from a token or a certificate may hold to become part of a field: printable ASCII. No space at its ends: whoever reads the field takes it off, and ` root` would be `root`. */
const PRINTABLE = /^(?:[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)?$/;
/** Longest value of one variable, characters; a longer one is empty. */
export const VARIABLE_LENGTH_MAX = 8_192;

/** The text for this request. `escape`: of what variables say, for bodies. */
export function textOf(parts: readonly TextPart[], x: Exchange, escape?: (text: string) => string): string {
  let text = '';
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i] as TextPart;
    if (typeof part === 'string') text += part;
    else text += escape === undefined ? valueOf(part, x) : escape(valueOf(part, x));
  }
  return text;
}

/** The value of one variable, `''` when there is none. */
export function valueOf(variable: Variable, x: Exchange): string {
  const { wire } = x;
  switch (variable.from) {
    case 'requestId':
      return x.id;
    case 'clientRequestId':
      return x.clientRequestId;
    case 'address':
      return x.clientAddress;
    case 'country':
      return countryOf(x.clientAddress);
    case 'method':
      return wire.method;
    case 'scheme':
      return x.secure ? 'https' : 'http';
    case 'host':
      return x.host;
    case 'path':
      return x.encodedPath;
    case 'query':
      return x.query;
    case 'route':
      return x.route?.id ?? '';
    case 'tenant':
      return x.tenant;
    case 'cell':
      return x.cell < 0 ? '' : present(x.revision.snapshot.cells[x.cell], 'cell').id;
    case 'endpoint':
      return x.endpoint === null ? '' : `${x.endpoint.host}:${x.endpoint.port}`;
    case 'subject':
      return sane(x.identity?.subject);
    case 'issuer':
      return x.identity?.issuerId ?? '';
    case 'listener':
      return wire.listener.id;
    case 'tlsVersion':
      return wire.tls?.version ?? '';
    case 'tlsCipher':
      return wire.tls?.cipher ?? '';
    case 'serverName':
      return sane(wire.serverName);
    case 'ja4':
      return wire.tls?.ja4 ?? '';
    case 'certificate':
      return wire.tls?.client?.fingerprint ?? '';
    case 'certificateSubject':
      return sane(wire.tls?.client?.subject);
    case 'code':
      return x.refusal?.code ?? (x.shown ? 'upstream_error' : '');
    case 'title':
      return x.refusal?.title ?? (x.shown ? (STATUS_CODES[x.upstreamStatus] ?? '') : '');
    case 'status':
      return x.refusal !== null ? String(x.refusal.status) : x.shown ? String(x.upstreamStatus) : '';
    case 'header':
      return bounded(believed(x, variable.name));
    case 'claim':
      return x.identity === null ? '' : sane(claimText(claimAt(x.identity.claims, variable.name)));
  }
}

function sane(text: string | null | undefined): string {
  return text === undefined || text === null || text.length > VARIABLE_LENGTH_MAX || !PRINTABLE.test(text) ? '' : text;
}

function bounded(text: string | undefined): string {
  return text === undefined || text.length > VARIABLE_LENGTH_MAX ? '' : text;
}
