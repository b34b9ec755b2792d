/**
 * What is done with tracked flows whose remote address was released: they are ended, here and in a snapshot.
 *
 * The store tells of the addresses of interfaces that calls made (releases.ts). Those of a file are compared: one that
 * the file does not give to the same interface any more is released.
 */
import type { Logger } from 'pino';
import { formatAddress, parseAddress } from '../addr/address.ts';
import type { Config } from '../config/config.ts';
import { portOf, remoteAddressAt } from '../conntrack/entry.ts';
import type { FlowRecord } from '../conntrack/flow-record.ts';
import type { Dataplane } from '../dataplane/dataplane.ts';
import { isOfEstate } from '../estate/rows.ts';
import type { InterfaceId, PolicyModel } from '../policy/model.ts';
import { ReleasedAddresses, type RemoteTest } from '../policy/released-addresses.ts';
import { ONLY_VPC_ID } from '../policy/vpcs.ts';
import type { FlowsContent, SavedOwner } from '../service/snapshot.ts';
import { endFlows } from '../telemetry/end-flows.ts';
import type { Releases } from './releases.ts';

type Ports = ReadonlyMap<InterfaceId, number>;

/** Ends the flows with released addresses. Resolves when none is left. */
export async function endReleased(
  released: ReleasedAddresses,
  model: PolicyModel,
  ports: Ports,
  dataplane: Dataplane,
  log: Logger,
): Promise<void> {
  if (released.isEmpty) return;
  const tests = testsFor(model, ports, released);
  const ended = await endFlows(
    dataplane,
    (table, flow) =>
      tests[portOf(table, flow)]?.(table.family, table.words, remoteAddressAt(table, flow)) ===
      true,
  );
  const { count: addresses, areUnknown } = released;
  if (areUnknown)
    log.warn({ ended }, 'connections ended: nobody knows which addresses were released meanwhile');
  else if (ended > 0) log.info({ addresses, ended }, 'connections with released addresses ended');
}

/** Whether the address of a saved flow, which has its port of now, was released since it was saved. */
export function releasedWhileDown(
  { releases: saved, owners = [] }: FlowsContent,
  releases: Releases | undefined,
  config: Config,
  ports: Ports,
): (record: FlowRecord) => boolean {
  const told = releases?.sinceSaved(saved) ?? new ReleasedAddresses();
  const tests = [told, lostSince(owners, config)].map((one) => testsFor(config.model, ports, one));
  return ({ port, family, remoteAddress }) =>
    tests.some((test) => test[port]?.(family, remoteAddress, 0) === true);
}

/** By port. */
function testsFor(
  model: PolicyModel,
  ports: Ports,
  released: ReleasedAddresses,
): readonly (RemoteTest | undefined)[] {
  const tests: RemoteTest[] = [];
  if (released.isEmpty) return tests;
  for (const [id, port] of ports) tests[port] = released.testFor(model, id);
  return tests;
}

/** Who has which address by a file. What calls made is told by the store: it may have moved to another host. */
export function ownersOf({ interfaces, model }: Config): readonly SavedOwner[] {
  return interfaces.flatMap(({ id, device }) => {
    const member = isOfEstate(device) ? undefined : model.interfaces.get(id);
    const vpcId = member?.vpc?.id ?? ONLY_VPC_ID;
    return (member?.addresses ?? []).map((one): SavedOwner => [id, vpcId, formatAddress(one)]);
  });
}

/** The addresses that interfaces of a file have lost. */
export function lostSince(owners: readonly SavedOwner[], { model }: Config): ReleasedAddresses {
  const lost = new ReleasedAddresses();
  for (const [id, vpcId, text] of owners) {
    const address = parseAddress(text);
    if (!address.ok) continue;
    const has = (model.interfaces.get(id)?.addresses ?? []).some((one) => formatAddress(one) === text); // prettier-ignore
    if (!has) lost.add(vpcId, address.value);
  }
  return lost;
}
