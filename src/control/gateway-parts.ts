/** What a gateway is made of, besides what it makes itself. */
import type { BootstrapConfig } from '../config/bootstrap.ts';
import type { Receiver } from './webhooks/webhooks.ts';
import type { RegistryOptions } from './oci/registry-http.ts';
import type { prepareTrust } from './trust/policy.ts';

export interface GatewayParts {
  readonly bootstrap: BootstrapConfig;
  readonly trust: Parameters<typeof prepareTrust>[0];
  readonly secrets: ReadonlyMap<string, string>;
  /** How to speak with the source, then with each mirror. */
  readonly registries: readonly RegistryOptions[];
  /** Of the hash over identities in a staged rollout; empty: none is kept secret. */
  readonly hashKey: string;
  readonly receivers: readonly Receiver[];
  /** File that every thread loads the addon from. */
  readonly addonPath: string;
  /** The process must end with this code. */
  readonly onFatal: (message: string, code: number) => void;
  /** Take the listeners of the gateway that serves with the same state directory. */
  readonly takeOver: boolean;
  /** Another process serves from now on: stop with `handedOver`. */
  readonly onHandedOver: () => void;
}
