/**
 * Which VPCs there are, of the file and of its templates, and which of them something belongs to.
 *
 * Theory of operation. A configuration without `vpcs` has one VPC, and everything is in it. A template tells the ids of
 * VPCs by its groups. If it is but one id in all templates, it is that of the one VPC: nobody has to say so. If they
 * are two, they are two VPCs, and what says nothing of its own is in a third, which exists if there is any such thing.
 * With `vpcs` of one VPC it is the same, unless an id is given that is another. With several, everything has to say
 * which it is in, or its groups do.
 */
import type { Address, Cidr, Parsed } from '../../addr/address.ts';
import { sameAddress } from '../../addr/address.ts';
import type { Networks } from '../../cloudformation/networks.ts';
import type { Origin, Vpc, VpcId, VpcRef } from '../../policy/model.ts';
import { didYouMean, listWords } from '../../source/suggest.ts';
import type { Node } from '../../source/yaml.ts';
import type { VpcBlocks } from './config-addresses.ts';
import { fail, readText, take, type Place, type Reader } from './config-reader.ts';
import { dnsAddressOf, routerOf, type Block, type DeclaredVpc } from './config-vpcs.ts';

export interface KnownVpc {
  readonly id: VpcId;
  readonly name: string;
  readonly origin: Origin;
  readonly blocks: readonly Block[];
}

/** Addresses of the platform that hang on VPCs, those of all VPCs: packets are not asked for theirs. */
export interface VpcAddresses {
  readonly dnsAddresses: readonly Address[];
  readonly routerAddresses: readonly Address[];
}

export class VpcDirectory {
  readonly #declared: readonly DeclaredVpc[];
  /** With the ids that stand for one of them. */
  readonly #byId = new Map<string, KnownVpc>();
  readonly #blocks = new Map<VpcId, Block[]>();
  /** Where things are that don't say. */
  readonly #fallback: KnownVpc | undefined;
  /** The fallback is there for nothing else than what doesn't say. */
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

  /** The VPCs that groups of templates are in, by their ids. Before anything is asked. */
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
    // One that nobody has named, and that nothing may be in.
    this.#isFallbackIdle = others.length > 0 && this.#declared.length === 1 && !first.isNamed;
  }

  /** The blocks of templates; those of a VPC that nothing is in count for what doesn't say where it is. */
  addNetworks(networks: readonly Networks[]): VpcAddresses {
    const dnsAddresses = this.#declared.flatMap((vpc) => vpc.dnsAddresses);
    const routerAddresses = this.#declared.flatMap((vpc) => vpc.routerAddresses);
    const addTo = (list: Address[], address: Address): void => {
      if (!list.some((known) => sameAddress(known, address))) list.push(address);
    };
    for (const { vpcs, blocks, subnets } of networks) {
      for (const cidr of vpcs) addTo(dnsAddresses, dnsAddressOf(cidr));
      for (const { cidr } of subnets) if (cidr.family === 4) addTo(routerAddresses, routerOf(cidr));
      for (const { vpcId, cidr, origin } of blocks) {
        const vpc = (vpcId === undefined ? undefined : this.find(vpcId)) ?? this.#fallback;
        if (vpc !== undefined) this.#blocks.get(vpc.id)!.push({ cidr, origin });
      }
    }
    return { dnsAddresses, routerAddresses };
  }

  /** All that something may be in, each once. */
  get all(): readonly KnownVpc[] {
    const all = new Set(this.#byId.values());
    if (this.#isFallbackIdle) all.delete(this.#fallback!);
    return [...all];
  }

  get isSeveral(): boolean {
    return this.#blocks.size > 1;
  }

  /** As things carry it: nothing where there is but one. */
  refOf({ id, name }: KnownVpc): VpcRef | undefined {
    return this.isSeveral ? { id, name } : undefined;
  }

  blocksOf(vpc: KnownVpc | undefined): VpcBlocks {
    if (vpc === undefined) return { cidrBlocks: [], ref: undefined };
    return { cidrBlocks: vpc.blocks.map(({ cidr }): Cidr => cidr), ref: this.refOf(vpc) };
  }

  /** By the id, as templates and AWS have it. */
  find(id: string): KnownVpc | undefined {
    return this.#byId.get(id);
  }

  /** Ids that templates call VPCs by, with those of their VPCs. */
  get ids(): ReadonlyMap<string, KnownVpc> {
    return this.#byId;
  }

  /** The VPC of what doesn't say. Undefined where there are several, and it has to. */
  takeFallback(): KnownVpc | undefined {
    this.#isFallbackIdle = false;
    return this.#fallback;
  }

  /** The same, if it has something in it already. */
  get fallback(): KnownVpc | undefined {
    return this.#isFallbackIdle ? undefined : this.#fallback;
  }

  /** A VPC by its name or its id. */
  resolve(text: string): Parsed<KnownVpc> {
    const found = this.all.find(({ name }) => name === text) ?? this.find(text);
    if (found !== undefined) return { ok: true, value: found };
    const names = this.all.map(({ name }) => name);
    const message = `there is no VPC '${text}'${didYouMean(text, names)}`;
    return { ok: false, message, hint: `VPCs: ${listWords(names)}` };
  }

  /** A key `vpc`; undefined if it isn't there, or names none (reported). */
  read(reader: Reader, node: Node | undefined): KnownVpc | undefined {
    const text = readText(reader, node);
    return text === undefined ? undefined : take(reader, node!, 'unknown-vpc', this.resolve(text));
  }

  /** Reports that it has to be said which VPC something is in. `what` begins the sentence. */
  failMissing(reader: Reader, place: Place, what: string, where = 'vpc: NAME'): undefined {
    const names = listWords(this.all.map(({ name }) => name));
    const message = `${what} is in no VPC: there are several, and nothing says in which it is`;
    return fail(reader, place, 'missing-vpc', message, `write ${where}; VPCs: ${names}`);
  }

  /** `VPC/NAME` in its parts; a name alone if it begins with no VPC's. */
  split(text: string): { readonly vpc: KnownVpc | undefined; readonly name: string } {
    const found = this.isSeveral ? this.all.filter(({ name }) => text.startsWith(`${name}/`)) : [];
    const [vpc] = found.sort((a, b) => b.name.length - a.name.length);
    return { vpc, name: vpc === undefined ? text : text.slice(vpc.name.length + 1) };
  }

  /** For the model. */
  toModel(): ReadonlyMap<VpcId, Vpc> {
    return new Map(
      this.all.map(({ id, name, origin, blocks }) => [
        id,
        { id, name, origin, cidrBlocks: blocks.map(({ cidr }) => cidr) },
      ]),
    );
  }
}
