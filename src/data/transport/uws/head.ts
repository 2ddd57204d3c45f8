/**
 * The request head as uWebSockets.js gives it, copied out within its callback, and every check that its parser leaves to us. uWebSockets.js
 * decodes field values as UTF-8; they are put back to one char per byte here.
 */
import type { HttpRequest } from 'uWebSockets.js';
import { BodyKind } from '../transport.ts';
import type { RefusalRow } from '../../refusal.ts';
import { REFUSALS } from '../../refusal.ts';
import { eachListed, endsHere, isAlias, listHas, NOT_ASCII_VALUE, TOKEN } from '../fields.ts';

/** Longest Content-Length that is believed: 15 digits are exact in a double. */
const LENGTH = /^[0-9]{1,15}$/;
/** What may not stand in a target: controls, space, DEL, raw 8-bit, and the fragment sign (RFC 9112 §3.2). */
const NOT_IN_TARGET = /[^\x21\x22\x24-\x7e]/;
/** What a value that was not UTF-8 holds after decoding; its bytes are lost, so it cannot be passed on. */
const LOST = '\ufffd';

/** Fields that stages verify, inspect and route by: a client that has them end here would make the upstream see another request than we did. */
const RELIED_ON: ReadonlySet<string> = new Set(['authorization', 'cookie', 'content-type', 'content-encoding']);

export class Head {
  method = '';
  path = '';
  query = '';
  host = '';
  bodyKind: BodyKind = BodyKind.None;
  bodyLength = 0;
  websocket = false;
  /** The client asked to close after this exchange. */
  close = false;
  /** uWebSockets.js closes by itself, and does not say so: it does when the first Connection has five chars. */
  closesItself = false;
  fault: RefusalRow | null = null;
  count = 0;
  /** Bytes of all names and values. */
  fieldBytes = 0;
  readonly names: string[] = [];
  readonly values: string[] = [];
  /** Names that the Connection field nominates: they end here too (RFC 9110 §7.6.1). */
  readonly nominated: string[] = [];

  #hosts = 0;
  #lengths = 0;
  #codings = 0;
  #connections = 0;
  #upgrade = false;
  #upgradeListed = false;
  #version13 = false;
  readonly #each = (name: string, value: string): void => this.#field(name, value);
  readonly #nominate = (token: string): void => {
    if (token === 'close') this.close = true;
    else if (token === 'upgrade') this.#upgradeListed = true;
    else if (RELIED_ON.has(token)) this.fault ??= REFUSALS.bad_header;
    else if (!endsHere(token)) this.nominated.push(token);
  };

  /** Reads the head. `handshake`: it came through the route for WebSockets, so Sec-WebSocket-Key is well-formed. */
  read(request: HttpRequest, handshake: boolean): void {
    this.count = 0;
    this.fieldBytes = 0;
    this.host = '';
    this.bodyKind = BodyKind.None;
    this.bodyLength = 0;
    this.websocket = false;
    this.close = false;
    this.closesItself = false;
    this.#connections = 0;
    this.fault = null;
    if (this.nominated.length > 0) this.nominated.length = 0;
    this.#hosts = this.#lengths = this.#codings = 0;
    this.#upgrade = this.#upgradeListed = this.#version13 = false;

    // getMethod() would fold the method to lower case in place.
    this.method = request.getCaseSensitiveMethod();
    this.path = request.getUrl();
    // Undefined when there is none, whatever the types say.
    const query: string | undefined = request.getQuery();
    this.query = query ?? '';
    request.forEach(this.#each);
    if (!TOKEN.test(this.method)) this.fault = REFUSALS.bad_request;
    else if (NOT_IN_TARGET.test(this.path) || NOT_IN_TARGET.test(this.query)) this.fault = REFUSALS.bad_target;
    this.#frame();
    if (this.#hosts !== 1 || this.host === '') this.fault ??= REFUSALS.bad_host;
    if (handshake && this.#upgrade && this.#upgradeListed && this.#version13) {
      this.websocket = true;
      // A body before the handshake's answer would be read as frames by one side and as a body by the other.
      if (this.bodyKind !== BodyKind.None) this.fault ??= REFUSALS.bad_framing;
      if (!areProtocols(this.value('sec-websocket-protocol'))) this.fault ??= REFUSALS.bad_header;
    }
  }

  /** Lets go of the texts; a kept wire must not keep a large head. */
  clear(): void {
    for (let i = 0; i < this.count; i++) this.names[i] = this.values[i] = '';
    this.count = 0;
    this.method = this.path = this.query = this.host = '';
  }

  /** First value of a lower-case name. */
  value(name: string): string | undefined {
    for (let i = 0; i < this.count; i++) if (this.names[i] === name) return this.values[i];
    return undefined;
  }

  /** True when more than one field has this lower-case name. */
  repeats(name: string): boolean {
    let seen = 0;
    for (let i = 0; i < this.count; i++) if (this.names[i] === name && ++seen > 1) return true;
    return false;
  }

  /** True when a field has another name that is this lower-case one but for underscores. */
  hasAlias(name: string): boolean {
    for (let i = 0; i < this.count; i++) if (isAlias(this.names[i] as string, name)) return true;
    return false;
  }

  /** True when Connection nominates this lower-case name. */
  nominates(name: string): boolean {
    return this.nominated.length > 0 && this.nominated.includes(name);
  }

  #field(name: string, raw: string): void {
    let value = raw;
    if (NOT_ASCII_VALUE.test(raw)) {
      value = Buffer.from(raw, 'utf8').latin1Slice();
      // eslint-disable-next-line no-control-regex -- control bytes are what is looked for
      if (/[\x00-\x08\x0a-\x1f\x7f]/.test(value) || raw.includes(LOST)) this.fault ??= REFUSALS.bad_header;
    }
    if (!TOKEN.test(name)) this.fault ??= REFUSALS.bad_header;
    this.fieldBytes += name.length + value.length;
    this.names[this.count] = name;
    this.values[this.count++] = value;
    switch (name.length) {
      case 4:
        if (name === 'host' && this.#hosts++ === 0) this.host = value;
        break;
      case 6:
        // 100-continue is answered by uWebSockets.js itself as soon as the body is wanted.
        if (name === 'expect' && value.toLowerCase() !== '100-continue') this.fault ??= REFUSALS.expectation_failed;
        break;
      case 7:
        if (name === 'upgrade') this.#upgrade ||= listHas(value, 'websocket');
        break;
      case 10:
        if (name === 'connection') {
          if (this.#connections++ === 0) this.closesItself = value.length === 5;
          if (value !== 'keep-alive') eachListed(value, this.#nominate);
        }
        break;
      case 14:
        if (name === 'content-length') this.#length(value);
        break;
      case 17:
        if (name === 'transfer-encoding') this.#coding(value);
        break;
      case 21:
        if (name === 'sec-websocket-version') this.#version13 = value === '13';
        break;
    }
  }

  #length(value: string): void {
    if (this.#lengths++ > 0 || !LENGTH.test(value)) this.fault = REFUSALS.bad_framing;
    else this.bodyLength = Number(value);
  }

  #coding(value: string): void {
    if (this.#codings++ > 0 || value.toLowerCase() !== 'chunked') this.fault = REFUSALS.bad_framing;
  }

  #frame(): void {
    if (this.#codings > 0) {
      this.bodyKind = BodyKind.Chunked;
      this.bodyLength = 0;
      if (this.#lengths > 0) this.fault = REFUSALS.bad_framing;
    } else if (this.bodyLength > 0) this.bodyKind = BodyKind.Length;
  }
}

/** RFC 6455 §4.1: subprotocols are tokens, each once. */
function areProtocols(value: string | undefined): boolean {
  if (value === undefined) return true;
  const names = value.split(',').map((one) => one.trim());
  return names.every((name) => TOKEN.test(name)) && new Set(names).size === names.length;
}
