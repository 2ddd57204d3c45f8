/** What a test file starts, and that all of it ends, also when a test or its preparation fails. */
import assert from 'node:assert/strict';
import { TestGateway, type GatewayOptions } from '../harness/gateway.ts';
import { TestIssuer } from '../harness/issuer.ts';
import { parsePrometheus } from '../observe/prometheus-text.ts';
import { TestUpstream, type UpstreamOptions } from '../harness/upstream.ts';

export class Given {
  readonly #ends: (() => unknown)[] = [];

  /** Something else that must end with the rest. */
  ends(end: () => unknown): void {
    this.#ends.push(end);
  }

  async upstream(options: UpstreamOptions = {}): Promise<TestUpstream> {
    const upstream = await TestUpstream.start(options);
    this.ends(() => upstream.stop());
    return upstream;
  }

  async gateway(options: GatewayOptions): Promise<TestGateway> {
    const gateway = await TestGateway.start(options);
    this.ends(async () => {
      try {
        assert.deepEqual(await gateway.shed(), [], 'the gateway took itself for overloaded');
      } finally {
        await gateway.kill();
      }
    });
    return gateway;
  }

  /** An issuer that publishes its keys. */
  async issuer(): Promise<TestIssuer> {
    const issuer = await TestIssuer.make();
    await issuer.serve();
    this.ends(() => issuer.stop());
    return issuer;
  }

  /** Ends everything, newest first; rejects with the first failure when all of it has ended. What is left would keep the process, and nobody would hear of the failure. */
  async end(): Promise<void> {
    const failures: unknown[] = [];
    for (let end = this.#ends.pop(); end !== undefined; end = this.#ends.pop()) {
      try {
        await end();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}

/** An endpoint as `/v1/endpoints` shows it. */
export interface EndpointNow {
  readonly identity: string;
  readonly cell: string;
  readonly health: number;
  readonly inflight: number;
  readonly ejected: boolean;
  readonly out: string | null;
  readonly downUntil: number;
  readonly outlier: boolean;
  readonly circuit: string;
}

export async function endpointsOf(gateway: TestGateway): Promise<readonly EndpointNow[]> {
  return ((await gateway.admin('/v1/endpoints')) as { endpoints: readonly EndpointNow[] }).endpoints;
}

/** Requests on their way to the endpoints of a cell, or of all. */
export async function inflight(gateway: TestGateway, cell?: string): Promise<number> {
  const endpoints = await endpointsOf(gateway);
  return endpoints.reduce((sum, e) => sum + (cell === undefined || e.cell === cell ? e.inflight : 0), 0);
}

/** Resolves when nothing is on its way any more. */
export async function untilIdle(gateway: TestGateway): Promise<void> {
  await gateway.until('nothing is in flight', async () => (await endpointsOf(gateway)).every((e) => e.inflight === 0));
}

/** Sum of a metric's values whose labels contain each of these texts, such as `cell="eu-1"`. */
export async function metricOf(gateway: TestGateway, name: string, ...labels: readonly string[]): Promise<number> {
  const { body } = await gateway.probe('/metrics');
  let sum = 0;
  for (const [line, value] of parsePrometheus(body).get(name)?.samples ?? [])
    if (labels.every((label) => line.includes(label))) sum += value;
  return sum;
}
