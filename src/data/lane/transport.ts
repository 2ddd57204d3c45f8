/** The transport that the bootstrap names. Only that one is loaded. */
import type { Addon } from '../../native.ts';
import type { LaneSetup } from '../../snapshot/messages.ts';
import type { TransportMaker } from '../transport/transport.ts';

export async function transportOf(setup: LaneSetup, addon: Addon): Promise<TransportMaker> {
  switch (setup.transport) {
    case 'native': {
      const { makeNativeTransport } = await import('../transport/native/index.ts');
      return makeNativeTransport(addon, setup);
    }
    case 'uws':
      return (await import('../transport/uws/index.ts')).makeUwsTransport;
  }
}
