import { type LookupAddress, lookup } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';

/** Where an address lies, as far as a redirect may lead there. */
export type AddressClass = 'public' | 'private' | 'loopback' | 'forbidden';

const FORBIDDEN = new BlockList();
for (const [net, prefix] of [
  ['0.0.0.0', 8],
  ['169.254.0.0', 16],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
  // Metadata services outside the link-local range.
  ['100.100.100.200', 32],
] as const) {
  FORBIDDEN.addSubnet(net, prefix, 'ipv4');
}
for (const [net, prefix] of [
  ['::', 128],
  ['fe80::', 10],
  ['ff00::', 8],
  ['fd00:ec2::254', 128],
] as const) {
  FORBIDDEN.addSubnet(net, prefix, 'ipv6');
}
const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');
const PRIVATE = new BlockList();
for (const [net, prefix] of [
  ['10.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  ['100.64.0.0', 10],
] as const) {
  PRIVATE.addSubnet(net, prefix, 'ipv4');
}
PRIVATE.addSubnet('fc00::', 7, 'ipv6');
PRIVATE.addSubnet('64:ff9b::', 96, 'ipv6');

/** The class of an address literal; IPv4 inside IPv6 is judged as IPv4. */
export function classOfAddress(address: string): AddressClass {
  const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
  if (FORBIDDEN.check(address, family)) return 'forbidden';
  if (LOOPBACK.check(address, family)) return 'loopback';
  return PRIVATE.check(address, family) ? 'private' : 'public';
}

/** The host of a URL as an address, or undefined when it is a name. */
export function literalOf(hostname: string): string | undefined {
  const bare = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname;
  return isIP(bare) === 0 ? undefined : bare;
}

/** Whether this names the machine itself without asking a resolver. */
export function isLoopbackHost(hostname: string): boolean {
  const literal = literalOf(hostname);
  return literal === undefined ? hostname === 'localhost' : classOfAddress(literal) === 'loopback';
}

/** The least public class of the addresses of a host: what a registry there may redirect to. */
export async function classOfHost(hostname: string): Promise<AddressClass> {
  const literal = literalOf(hostname);
  if (literal !== undefined) return classOfAddress(literal);
  const addresses = await new Promise<LookupAddress[]>((resolve) => {
    lookup(hostname, { all: true }, (error, found) => resolve(error === null ? found : []));
  });
  const classes = addresses.map((item) => classOfAddress(item.address));
  return classes.find((item) => item === 'loopback') ?? classes.find((item) => item === 'private') ?? 'public';
}

/** Whether content of a registry in class `from` may be fetched from an address in class `to`. */
export function mayLead(from: AddressClass, to: AddressClass): boolean {
  switch (to) {
    case 'public':
      return true;
    case 'private':
      return from === 'private' || from === 'loopback';
    case 'loopback':
      return from === 'loopback';
    case 'forbidden':
      return false;
  }
}

/** A resolver for connections that follow a redirect: the addresses that are connected to are the ones that were judged. */
export function guardedLookup(allowed: (address: AddressClass) => boolean): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) {
        callback(error, []);
        return;
      }
      const good = addresses.filter((item) => allowed(classOfAddress(item.address)));
      const first = good[0];
      if (first === undefined) {
        callback(
          Object.assign(new Error(`${hostname} has no address that a redirect may lead to`), { code: 'EACCES' }),
          [],
        );
        return;
      }
      if (options.all === true) callback(null, good);
      else callback(null, first.address, first.family);
    });
  };
}
