/** What a gateway is among others, by its bootstrap. */
import { hostname } from 'node:os';
import type { BootstrapConfig } from '../../config/bootstrap.ts';
import type { Assigned } from './assign.ts';

export function gatewayOf({ gateway, zone }: Pick<BootstrapConfig, 'gateway' | 'zone'>): Assigned {
  return { id: gateway.id ?? hostname(), labels: { ...(zone === '' ? {} : { zone }), ...gateway.labels } };
}
