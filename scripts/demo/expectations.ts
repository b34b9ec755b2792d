/**
 * Who may reach whom in config/demo.yaml, written by hand from the groups in it.
 *
 * Not derived from the program under test: this table is what it is measured against. Whoever
 * changes the demo's groups changes this table by thinking, not by running.
 */

export type Family = 4 | 6;
export const FAMILIES: readonly Family[] = [4, 6];

export interface Host {
  readonly name: string;
  readonly netns: string;
  readonly addresses: Readonly<Record<Family, string>>;
}

export const HOSTS: readonly Host[] = [
  { name: 'web', netns: 'sgd-web', addresses: { 4: '10.0.0.11', 6: 'fd00:10::11' } },
  { name: 'app', netns: 'sgd-app', addresses: { 4: '10.0.0.12', 6: 'fd00:10::12' } },
  { name: 'db', netns: 'sgd-db', addresses: { 4: '10.0.0.13', 6: 'fd00:10::13' } },
  { name: 'stranger', netns: 'sgd-outside', addresses: { 4: '198.51.100.7', 6: '2001:db8:51::7' } },
];

export interface Service {
  /** As the table calls it: the program that asks, and the port. */
  readonly title: string;
  readonly kind: 'ping' | 'http' | 'tcp' | 'udp';
  /** 0 for ping. */
  readonly port: number;
}

/** Every host offers every one of them, so that only the groups can be why one is not reached. */
export const SERVICES: readonly Service[] = [
  { title: 'ping', kind: 'ping', port: 0 },
  { title: 'curl 80', kind: 'http', port: 80 },
  { title: 'tcp 443', kind: 'tcp', port: 443 },
  { title: 'curl 8080', kind: 'http', port: 8080 },
  { title: 'tcp 5432', kind: 'tcp', port: 5432 },
  { title: 'udp 5353', kind: 'udp', port: 5353 },
];

const EVERYTHING = SERVICES.map(({ title }) => title);

/** From, to, and which services. Both families alike. Pairs that are not here reach nothing. */
const ALLOWED: readonly (readonly [string, string, readonly string[]])[] = [
  // The app takes 8080 from the group web, and pings from inside.
  ['web', 'app', ['ping', 'curl 8080']],
  // The template's group opens 80 and 443 to anyone; the group web adds ping.
  ['app', 'web', ['ping', 'curl 80', 'tcp 443']],
  ['stranger', 'web', ['ping', 'curl 80', 'tcp 443']],
  // The database takes its two ports from the group app, and no ping.
  ['app', 'db', ['tcp 5432', 'udp 5353']],
  // The default egress rule lets everything out, and nothing guards the stranger.
  ['web', 'stranger', EVERYTHING],
  ['app', 'stranger', EVERYTHING],
  // web to db: no rule. stranger to app and db: no rule. db to anywhere: it has no egress rules.
];

export function isAllowed(from: string, to: string, service: string): boolean {
  return ALLOWED.some(
    ([source, target, services]) => source === from && target === to && services.includes(service),
  );
}
