/**
 * This file knows the VPCs of the file and of its templates, and to which of them something belongs.
 *
 * Theory of operation. A configuration without `vpcs` has one VPC, and everything is in it. Groups of templates may
 * name VPCs by id. If all of them name the same id, it is the id of the one VPC. If they name two ids, there are two
 * VPCs, and whatever names none is in a third; that one exists only if something is in it. A configuration with a
 * single entry in `vpcs` behaves the same, unless it gives an id, and a template names another. With several entries,
 * each group and interface must say its VPC, or have groups that do.
 */
import { refuse, type Address, type Cidr, type Parsed } from '../addr/address.ts';
import { sameAddress } from '../addr/address.ts';
import type { Networks } from '../cloudformation/networks.ts';
import type { Origin, Vpc, VpcId, VpcRef } from '../policy/model.ts';
import { didYouMean, listWords } from '../source/suggest.ts';
import type { Node } from '../source/yaml.ts';
import type { VpcBlocks } from './config-addresses.ts';
import { fail, readText, take, type Place, type Reader } from './config-reader.ts';
import { dnsAddressOf, routerOf, type Block, type DeclaredVpc } from './config-vpcs.ts';

export interface KnownVpc {
  readonly id: VpcId;
  readonly name: string;
  readonly origin: Origin;
  readonly blocks: readonly Block[];
}

/** The platform addresses that depend on a VPC, of all VPCs together: the packet path does not know VPCs. */
export interface VpcAddresses {
  readonly dnsAddresses: readonly Address[];
  /** Those of AWS's router: base + 1 of each subnet. */
  readonly routerAddresses: readonly Address[];
}

/** What templates and the file say about networks, of all VPCs together. */
export interface KnownNetworks extends VpcAddresses {
  readonly subnets: readonly Cidr[];
}

export class VpcDirectory {
  readonly #declared: readonly DeclaredVpc[];
  /** The VPC of each id, with the ids that stand for one of them. */
  readonly #byId = new Map<string, KnownVpc>();
  readonly #blocks = new Map<VpcId, Block[]>();
  /** The VPC of things that name none. */
  readonly #fallback: KnownVpc | undefined;
  /** True while nothing is in the fallback. */
  #isFallbackIdle = false;

  constructor(declared: readonly DeclaredVpc[]) {
    this.#declared = declared;
    for (const vpc of declared) this.#add(vpc.id, vpc.name, vpc.origin).push(...vpc.blocks);
    this.#fallback = declared.length === 1 ? this.#byId.get(declared[0].id) : undefined;
  }

  #add(id: VpcId, name: string, origin: Origin): Block[] {
    const blocks: Block[] = [];
    this.#byId.set(id, { id, name, origin, blocks });
    this.#blocks.set(id, blocks);
    return blocks;
  }

  /** Adds the VPCs of the groups of templates, by id. Must be called before anything is asked. */
  addTemplates(
    used: ReadonlyMap<string, { readonly name: string; readonly origin: Origin }>,
  ): void {
    const others = [...used].filter(([id]) => !this.#byId.has(id));
    const [first] = this.#declared;
    if (others.length === 1 && this.#fallback !== undefined && !first.hasOwnId) {
      this.#byId.set(others[0][0], this.#fallback);
      return;
    }
    for (const [id, { name, origin }] of others) this.#add(id, name, origin);
    // A VPC that nobody named may stay empty.
    this.#isFallbackIdle = others.length > 0 && this.#declared.length === 1 && !first.isNamed;
  }

  /** Adds the blocks that templates give. Blocks of a VPC that nothing is in are added to the fallback. */
  addNetworks(networks: readonly Networks[]): KnownNetworks {
    const dnsAddresses = this.#declared.flatMap((vpc) => vpc.dnsAddresses);
    const ownSubnets = this.#declared.flatMap((vpc) => vpc.subnets);
    const all = [...ownSubnets, ...networks.flatMap(({ subnets }) => subnets.map(({ cidr }) => cidr))]; // prettier-ignore
    const routerAddresses: Address[] = [];
    const addTo = (list: Address[], address: Address): void => {
      if (!list.some((known) => sameAddress(known, address))) list.push(address);
    };
    for (const cidr of all) if (cidr.family === 4) addTo(routerAddresses, routerOf(cidr));
    for (const { vpcs, blocks } of networks) {
      for (const cidr of vpcs) addTo(dnsAddresses, dnsAddressOf(cidr));
      for (const { vpcId, cidr, origin } of blocks) {
        const vpc = (vpcId === undefined ? undefined : this.find(vpcId)) ?? this.#fallback;
        if (vpc !== undefined) this.#blocks.get(vpc.id)!.push({ cidr, origin });
      }
    }
    return { dnsAddresses, routerAddresses, subnets: all };
  }

  /** All VPCs that something may be in, each once. */
  get all(): readonly KnownVpc[] {
    const all = new Set(this.#byId.values());
    if (this.#isFallbackIdle) all.delete(this.#fallback!);
    return [...all];
  }

  get isSeveral(): boolean {
    return this.#blocks.size > 1;
  }

  /** The reference that a group or interface carries: undefined if there is only one VPC. */
  refOf({ id, name }: KnownVpc): VpcRef | undefined {
    return this.isSeveral ? { id, name } : undefined;
  }

  blocksOf(vpc: KnownVpc | undefined): VpcBlocks {
    if (vpc === undefined) return { cidrBlocks: [], ref: undefined };
    return { cidrBlocks: vpc.blocks.map(({ cidr }): Cidr => cidr), ref: this.refOf(vpc) };
  }

  /** Finds a VPC by an id that templates or AWS use. */
  find(id: string): KnownVpc | undefined {
    return this.#byId.get(id);
  }

  /** The ids that templates use for VPCs, and the VPCs they stand for. */
  get ids(): ReadonlyMap<string, KnownVpc> {
    return this.#byId;
  }

  /**
   * The VPC of something that names none; from now on it counts as in use. Undefined if there are several VPCs: then
   * one must be named.
   */
  takeFallback(): KnownVpc | undefined {
    this.#isFallbackIdle = false;
    return this.#fallback;
  }

  /** The same VPC, if something is in it already. */
  get fallback(): KnownVpc | undefined {
    return this.#isFallbackIdle ? undefined : this.#fallback;
  }

  /** Finds a VPC by name or id. */
  resolve(text: string): Parsed<KnownVpc> {
    const found = this.all.find(({ name }) => name === text) ?? this.find(text);
    if (found !== undefined) return { ok: true, value: found };
    const names = this.all.map(({ name }) => name);
    const message = `there is no VPC '${text}'${didYouMean(text, names)}`;
    return refuse(message, `VPCs: ${listWords(names)}`);
  }

  /** Reads a key `vpc`. Undefined if it is absent, or names no VPC, which is reported. */
  read(reader: Reader, node: Node | undefined): KnownVpc | undefined {
    const text = readText(reader, node);
    return text === undefined ? undefined : take(reader, node!, 'unknown-vpc', this.resolve(text));
  }

  /** Reports that something must name its VPC. `what` is the beginning of the sentence. */
  failMissing(reader: Reader, place: Place, what: string, where = 'vpc: NAME'): undefined {
    const names = listWords(this.all.map(({ name }) => name));
    const message = `${what} is in no VPC: there are several, and nothing says in which it is`;
    return fail(reader, place, 'missing-vpc', message, `write ${where}; VPCs: ${names}`);
  }

  /** Splits `VPC/NAME`. A text that begins with no VPC's name is a name alone. */
  split(text: string): { readonly vpc: KnownVpc | undefined; readonly name: string } {
    const found = this.isSeveral ? this.all.filter(({ name }) => text.startsWith(`${name}/`)) : [];
    const [vpc] = found.sort((a, b) => b.name.length - a.name.length);
    return { vpc, name: vpc === undefined ? text : text.slice(vpc.name.length + 1) };
  }

  /** The VPCs for the model. */
  toModel(): ReadonlyMap<VpcId, Vpc> {
    return new Map(
      this.all.map(({ id, name, origin, blocks }) => [
        id,
        { id, name, origin, cidrBlocks: blocks.map(({ cidr }) => cidr) },
      ]),
    );
  }
}
