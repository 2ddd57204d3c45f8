/** Opens a listener of the engine: reads the files that it names, and says what is wrong in terms of the configuration. */
import { readFile } from 'node:fs/promises';
import type { TransportEngine, TransportTls } from '../../../native/transport.ts';
import type { ListenerPlan, ListenerTls } from '../../../snapshot/snapshot.ts';

/** What the addon says when TLS cannot be made of what it was given, rather than that the address cannot be had. */
const NOT_USABLE = 'InvalidArg';

/** Opens it under this number; the port it got. Rejects with an error that names the listener, the file or address, and the mend. */
export async function openListener(engine: TransportEngine, number: number, plan: ListenerPlan): Promise<number> {
  const tls = plan.tls === null ? null : await tlsOf(plan, plan.tls);
  try {
    return engine.listen({
      number,
      address: plan.address,
      port: plan.port,
      http2: false,
      proxyFrom: [],
      ...(tls === null ? {} : { tls }),
    });
  } catch (error) {
    const said = error as Error & { code?: string };
    if (plan.tls !== null && said.code === NOT_USABLE) {
      throw new Error(
        `listener ${plan.id}: certificate ${plan.tls.certificateFile} and key ${plan.tls.keyFile} cannot be used (${said.message}); are both PEM, and do they belong together?`,
        { cause: error },
      );
    }
    throw new Error(
      `listener ${plan.id}: cannot listen on ${plan.address}:${plan.port} (${said.message}); is the port taken, the address local, and a port below 1024 allowed?`,
      { cause: error },
    );
  }
}

async function tlsOf(plan: ListenerPlan, tls: ListenerTls): Promise<TransportTls> {
  return {
    certificates: [
      { chainPem: await bytesOf(plan, tls.certificateFile), keyPem: await bytesOf(plan, tls.keyFile), names: [] },
    ],
    minVersion: tls.minVersion,
    clientAuth: 'off',
    cipherSuites: [],
  };
}

async function bytesOf(plan: ListenerPlan, file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    throw new Error(`listener ${plan.id}: ${file} cannot be read`, { cause: error });
  }
}
