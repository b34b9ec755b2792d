/**
 * This file answers `configuration`: what is in force, as plain data from which a client makes the same model. Maps,
 * comparisons and drafts are computed by whoever asks, by the code that reads files, and cost the daemon nothing.
 *
 * It is the model itself and not a text of the configuration language. A text has neither the ids that calls of the API
 * gave, nor where a rule is written, nor who is on other hosts, nor several VPCs that were made by calls.
 */
import type { Config } from '../config/config.ts';
import type { Observatory } from '../telemetry/observatory.ts';
import { MemberSet } from '../policy/member-set.ts';
import type {
  GroupId,
  NetworkInterface,
  PolicyModel,
  PrefixList,
  RemoteMember,
  SecurityGroup,
  Vpc,
} from '../policy/model.ts';

export interface ConfigurationQuestion {
  /** The mark of the answer that the client has: with the same one, there is no need for the rest. */
  readonly unless?: string;
}

export interface ConfigurationAnswer {
  /** Another one whenever anything is different, and after each start of the daemon. */
  readonly mark: string;
  /** Goes up with every change that affects verdicts. */
  readonly generation: number;
  /** Absent: it is what the client has. */
  readonly configuration?: ConfigurationView;
}

/** What a client knows of a configuration: its policy, and what it is written out with. */
export type KnownConfiguration = Pick<
  Config,
  'file' | 'model' | 'interfaces' | 'uplink' | 'special' | 'quotas'
>;

/** The same, with lists in place of maps. */
export interface ConfigurationView extends Omit<KnownConfiguration, 'model'> {
  readonly groups: readonly SecurityGroup[];
  readonly prefixLists: readonly PrefixList[];
  readonly networks: readonly NetworkInterface[];
  readonly remoteMembers?: readonly (readonly [GroupId, readonly RemoteMember[]])[];
  readonly vpcs?: readonly Vpc[];
  readonly areGroupsStale?: boolean;
}

/** Answers with marks that a client compares. */
export class ConfigurationBook {
  private readonly observatory: Observatory;
  private last: Config | undefined;
  private changes = 0;

  constructor(observatory: Observatory) {
    this.observatory = observatory;
  }

  answer({ unless }: ConfigurationQuestion): ConfigurationAnswer {
    const { config, policy, startedMs } = this.observatory;
    if (config !== this.last) this.changes++;
    this.last = config;
    const mark = `${startedMs}.${this.changes}`;
    const { generation } = policy;
    if (unless === mark) return { mark, generation };
    return { mark, generation, configuration: viewConfiguration(config) };
  }
}

/** @param config of a daemon, which knows all that it asks: nothing in it is in doubt */
export function viewConfiguration(config: KnownConfiguration): ConfigurationView {
  const { file, model, interfaces, uplink, special, quotas } = config;
  const { groups, prefixLists, interfaces: networks, remoteMembers, vpcs, areGroupsStale } = model;
  return {
    ...{ file, interfaces, uplink, special, quotas },
    groups: [...groups.values()],
    prefixLists: [...prefixLists.values()],
    networks: [...networks.values()],
    ...(remoteMembers === undefined
      ? {}
      : { remoteMembers: [...remoteMembers].map(([id, members]) => [id, [...members]] as const) }),
    ...(vpcs === undefined ? {} : { vpcs: [...vpcs.values()] }),
    ...(areGroupsStale === undefined ? {} : { areGroupsStale }),
  };
}

/** The configuration that a view is of. */
export function readConfigurationView(view: ConfigurationView): KnownConfiguration {
  const { file, interfaces, uplink, special, quotas } = view;
  const { groups, prefixLists, networks, remoteMembers, vpcs, areGroupsStale } = view;
  const model: PolicyModel = {
    groups: byId(groups),
    prefixLists: byId(prefixLists),
    interfaces: byId(networks),
    ...(remoteMembers === undefined
      ? {}
      : {
          remoteMembers: new Map(
            remoteMembers.map(([id, members]) => [id, MemberSet.of(members)] as const),
          ),
        }),
    ...(vpcs === undefined ? {} : { vpcs: byId(vpcs) }),
    ...(areGroupsStale === undefined ? {} : { areGroupsStale }),
  };
  return { file, model, interfaces, uplink, special, quotas };
}

function byId<T extends { readonly id: string }>(items: readonly T[]): ReadonlyMap<string, T> {
  return new Map(items.map((item) => [item.id, item]));
}
