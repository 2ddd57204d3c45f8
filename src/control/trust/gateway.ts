import type { GatewayIdentity } from './rules.ts';

/** What this build of the gateway is, for `minGateway` and `requires` of a release. */
export const GATEWAY_VERSION = '0.1.0';
export const GATEWAY_FEATURES: readonly string[] = ['waf.v1'];

/** What this build is, with the labels of the gateway that runs it. */
export function gatewayIdentity(labels: Readonly<Record<string, string>> = {}): GatewayIdentity {
  return { version: GATEWAY_VERSION, features: new Set(GATEWAY_FEATURES), labels };
}
