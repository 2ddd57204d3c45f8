/** Opens the listeners of a lane: one uWebSockets.js app each, sharing its port with the other lanes by SO_REUSEPORT. */
import { randomInt } from 'node:crypto';
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { createServer } from 'node:net';
import type {
  HttpRequest,
  HttpResponse,
  TemplatedApp,
  us_listen_socket as ListenSocket,
  us_socket_context_t as SocketContext,
} from 'uWebSockets.js';
import type * as UwsModule from 'uWebSockets.js';
import type { ListenerPlan, ListenerTls } from '../../../snapshot/listener-plans.ts';
import type { WebSocketRelays } from './websocket.ts';

export type Uws = typeof UwsModule;

/** A request as uWebSockets.js hands it over; `context` only for WebSocket handshakes. */
export type OnRequest = (
  response: HttpResponse,
  request: HttpRequest,
  context: SocketContext | null,
  listener: ListenerPlan,
  port: number,
) => void;

/** A connection came (1) or went (-1). */
export type OnConnection = (change: number) => void;

/**
 * TLS 1.2 suites: ECDHE with AEAD only. uWebSockets.js's own list holds 3DES and RSA key exchange. TLS 1.3 suites are BoringSSL's and always on.
 */
const TLS12_CIPHERS =
  'ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:' +
  'ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305';
/** Only with a pre-shared key, and there is none: no TLS 1.2 handshake can succeed. uWebSockets.js has no switch for the version. */
const NO_TLS12_CIPHER = 'ECDHE-PSK-CHACHA20-POLY1305';
/** Ports tried before giving up when any is asked for, and where they lie. */
const FREE_PORT_TRIES = 32;
const ANY_PORT_FROM = 20_000;
const ANY_PORT_TO = 32_000;

export class Listener {
  readonly #uws: Uws;
  readonly #app: TemplatedApp;
  #socket: ListenSocket | null = null;
  port = 0;

  private constructor(uws: Uws, app: TemplatedApp) {
    this.#uws = uws;
    this.#app = app;
  }

  static async open(
    uws: Uws,
    plan: ListenerPlan,
    relays: WebSocketRelays,
    onRequest: OnRequest,
    onConnection: OnConnection,
  ): Promise<Listener> {
    let app: TemplatedApp;
    if (plan.tls === null) app = uws.App();
    else {
      await readable(plan, plan.tls.certificateFile);
      await readable(plan, plan.tls.keyFile);
      app = secureApp(uws, plan, plan.tls);
    }
    const listener = new Listener(uws, app);
    const tries = plan.port === 0 ? FREE_PORT_TRIES : 1;
    for (let i = 0; i < tries && listener.#socket === null; i++) {
      // uWebSockets.js shares a port only when it is told its number.
      listener.port = plan.port === 0 ? await freePort(plan.address) : plan.port;
      if (listener.port === 0) continue;
      app.listen(plan.address, listener.port, (socket) => {
        listener.#socket = socket === false ? null : socket;
      });
    }
    if (listener.#socket === null) {
      app.close();
      throw new Error(
        `listener ${plan.id}: cannot listen on ${plan.address}:${plan.port}; is the port taken, the address local, and a port below 1024 allowed?`,
      );
    }
    const { port } = listener;
    // 1 when a connection was made, -1 when it is gone.
    app.filter((_, change) => onConnection(change));
    app.ws(
      '/*',
      relays.behavior((response, request, context) => onRequest(response, request, context, plan, port)),
    );
    app.any('/*', (response, request) => onRequest(response, request, null, plan, port));
    return listener;
  }

  /** Accepts no more; connections stay. */
  stop(): void {
    if (this.#socket !== null) this.#uws.us_listen_socket_close(this.#socket);
    this.#socket = null;
  }

  /** Cuts everything. */
  close(): void {
    this.#socket = null;
    this.#app.close();
  }
}

function secureApp(uws: Uws, plan: ListenerPlan, tls: ListenerTls): TemplatedApp {
  try {
    return uws.SSLApp({
      cert_file_name: tls.certificateFile,
      key_file_name: tls.keyFile,
      ssl_ciphers: tls.minVersion === '1.3' ? NO_TLS12_CIPHER : TLS12_CIPHERS,
    });
  } catch (error) {
    throw new Error(
      `listener ${plan.id}: certificate ${tls.certificateFile} and key ${tls.keyFile} cannot be used; are both PEM, and do they belong together?`,
      { cause: error },
    );
  }
}

async function readable(plan: ListenerPlan, file: string): Promise<void> {
  try {
    await access(file, constants.R_OK);
  } catch (error) {
    throw new Error(`listener ${plan.id}: ${file} cannot be read`, { cause: error });
  }
}

/**
 * A port that nobody listens on. Below the range that systems give out by themselves: a port of that range, free a moment ago, is soon given to
 * another process, and would then be shared with it in silence.
 */
function freePort(address: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const port = randomInt(ANY_PORT_FROM, ANY_PORT_TO);
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(0);
      else reject(error);
    });
    server.listen(port, address, () => server.close(() => resolve(port)));
  });
}
