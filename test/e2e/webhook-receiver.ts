/** A receiver of a gateway's events that goes away and comes back on the same port. */
import { createServer, type Server } from 'node:http';
import { closed, listening } from '../harness/ports.ts';

export class WebhookReceiver {
  /** Digests of the bundles that it was told of, in order. */
  readonly digests: string[] = [];
  #server: Server | null = null;
  #port = 0;

  static async start(): Promise<WebhookReceiver> {
    const receiver = new WebhookReceiver();
    await receiver.listen();
    return receiver;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}/hook`;
  }

  async listen(): Promise<void> {
    const server = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk: Buffer) => (body += chunk.toString('utf8')));
      request.on('end', () => {
        const { data } = JSON.parse(body) as { data: { digest?: string } };
        this.digests.push(data.digest ?? '');
        response.writeHead(204).end();
      });
    });
    this.#port = await listening(server, this.#port);
    this.#server = server;
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (server !== null) await closed(server);
  }
}
