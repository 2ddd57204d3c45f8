/** A gateway with a listener, for tests that are about HTTP and not about rules; started when the first of them comes. */
import { plainBundle } from '../../harness/bundle.ts';
import { TestGateway } from '../../harness/gateway.ts';
import { finalResponse, observe, step } from '../http1/observe.ts';
import { RecordingUpstream } from '../http1/recording-upstream.ts';

const ADDRESS = '127.0.0.1';

export interface Answered {
  /** Undefined: the connection was closed without an answer. */
  readonly status: number | undefined;
  readonly stalled: boolean;
}

export class HttpLayer {
  #upstream: RecordingUpstream | undefined;
  #gateway: TestGateway | undefined;

  /** Sends bytes on a connection of their own and tells the status of the first answer. */
  async send(bytes: Buffer): Promise<Answered> {
    const gateway = await this.#started();
    const target = { host: ADDRESS, port: gateway.ports.http };
    const [seen] = await observe(target, ADDRESS, [step(bytes)]);
    if (seen === undefined) throw new Error('the step was not executed');
    return { status: finalResponse(seen)?.status, stalled: seen.stalled };
  }

  async stop(): Promise<void> {
    await this.#gateway?.stop();
    await this.#upstream?.close();
  }

  async #started(): Promise<TestGateway> {
    if (this.#gateway !== undefined) return this.#gateway;
    this.#upstream = new RecordingUpstream();
    const port = await this.#upstream.listen();
    this.#gateway = await TestGateway.start({ bundle: plainBundle([`${ADDRESS}:${port}`]) });
    return this.#gateway;
  }
}
