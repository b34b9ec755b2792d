/**
 * Addresses that interfaces have lost, and which tracked flows are with a former owner of one.
 *
 * A flow is between an interface here and a remote address, and nothing in it says whose that was. So the address and
 * the VPC of the interface here have to do. An address that belongs to the VPC of a flow is that VPC's own, whatever
 * another VPC has released. One that does not is whoever's the network takes it for, since packets between VPCs go by
 * the address alone (vpcs.ts): there the release counts. A VPC whose blocks are not known may have any address, and
 * none is surely its own.
 */
import { cidrContains, type Address, type Cidr, type Family } from '../addr/address.ts';
import type { InterfaceId, PolicyModel, VpcId } from './model.ts';
import { ONLY_VPC_ID } from './vpcs.ts';

interface Lost {
  readonly words: readonly number[];
  readonly vpcIds: Set<VpcId>;
}

/** Whether the remote address of a flow has been released. @param at the place of its first word */
export type RemoteTest = (family: Family, words: Int32Array, at: number) => boolean;

export class ReleasedAddresses {
  /** By the last word of the address: most differ there. */
  private readonly lost = { 4: new Map<number, Lost[]>(), 6: new Map<number, Lost[]>() };
  /** How many were added. */
  count = 0;
  /** Which ones there are is not known: any address of a VPC may be among them. */
  areUnknown = false;

  get isEmpty(): boolean {
    return this.count === 0 && !this.areUnknown;
  }

  add(vpcId: VpcId, { family, words: given }: Address): void {
    const words = given.map((word) => word | 0);
    const last = words[words.length - 1];
    const found = this.lost[family].get(last) ?? [];
    const known = found.find((one) => isSame(one.words, words, 0));
    if (known === undefined) found.push({ words, vpcIds: new Set([vpcId]) });
    else known.vpcIds.add(vpcId);
    this.lost[family].set(last, found);
    this.count++;
  }

  /** The test for flows of an interface of this model. */
  testFor(model: PolicyModel, id: InterfaceId): RemoteTest {
    const vpcId = model.interfaces.get(id)?.vpc?.id ?? onlyVpcOf(model);
    const blocks = model.vpcs?.get(vpcId)?.cidrBlocks ?? [];
    const all = [...(model.vpcs?.values() ?? [])].map(({ cidrBlocks }) => cidrBlocks);
    const mayBeAny = all.length === 0 || all.some((one) => one.length === 0);
    return (family, words, at) => {
      const last = at + (family === 4 ? 0 : 3);
      for (const { words: lost, vpcIds } of this.lost[family].get(words[last]) ?? [])
        if (isSame(lost, words, at) && (vpcIds.has(vpcId) || !isIn(blocks, family, words, at)))
          return true;
      return this.areUnknown && (mayBeAny || all.some((one) => isIn(one, family, words, at)));
    };
  }
}

function onlyVpcOf({ vpcs }: PolicyModel): VpcId {
  const [only] = vpcs?.keys() ?? [];
  return only ?? ONLY_VPC_ID;
}

function isSame(lost: readonly number[], words: ArrayLike<number>, at: number): boolean {
  for (let i = 0; i < lost.length; i++) if (lost[i] !== words[at + i]) return false;
  return true;
}

function isIn(blocks: readonly Cidr[], family: Family, words: Int32Array, at: number): boolean {
  const address = { family, words: [...words.subarray(at, at + (family === 4 ? 1 : 4))] };
  return blocks.some((block) => cidrContains(block, address));
}
