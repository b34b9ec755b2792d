/** This file finds the node of the map that an address belongs to. */
import {
  cidrContains,
  parseAddress,
  parseCidr,
  type Address,
  type Cidr,
} from '../../../addr/address.ts';
import type { MapNode } from '../../contract.ts';

interface BlockOf {
  readonly node: string;
  readonly cidr: Cidr;
}

/** Where interfaces, addresses and blocks are on the map. */
export class MapEnds {
  private readonly byInterface = new Map<string, string>();
  private readonly byAddress = new Map<string, string>();
  /** The narrowest first. */
  private readonly blocks: readonly BlockOf[];
  private readonly found = new Map<string, readonly string[]>();

  constructor(nodes: readonly MapNode[]) {
    for (const node of nodes) {
      if (node.kind !== 'interfaces') continue;
      for (const { name, addresses } of node.interfaces) {
        this.byInterface.set(name, node.id);
        for (const address of addresses) this.byAddress.set(address, node.id);
      }
    }
    this.blocks = nodes.flatMap(blocksOf).sort((a, b) => b.cidr.length - a.cidr.length);
  }

  /** The node that has an interface; undefined: the uplink, or one that the map leaves out. */
  nodeOfInterface(name: string): string | undefined {
    return this.byInterface.get(name);
  }

  /**
   * The nodes that an address belongs to: that of the interface that has it, else blocks and prefix lists with it, the
   * narrowest first.
   */
  nodesOfAddress(text: string): readonly string[] {
    const own = this.byAddress.get(text);
    if (own !== undefined) return [own];
    let nodes = this.found.get(text);
    if (nodes === undefined) {
      nodes = this.search(text);
      // Outsiders choose how many addresses there are.
      if (this.found.size >= FOUND_MAX) this.found.clear();
      this.found.set(text, nodes);
    }
    return nodes;
  }

  private search(text: string): readonly string[] {
    const address = parseAddress(text);
    if (!address.ok) return [];
    return this.blocks.filter(({ cidr }) => contains(cidr, address.value)).map(({ node }) => node);
  }
}

const FOUND_MAX = 1000;

function contains(cidr: Cidr, address: Address): boolean {
  return cidr.family === address.family && cidrContains(cidr, address);
}

function blocksOf(node: MapNode): BlockOf[] {
  const texts =
    node.kind === 'block' ? [node.cidr] : node.kind === 'prefix-list' ? node.entries : [];
  return texts.flatMap((text) => {
    const cidr = parseCidr(text, 'mask');
    return cidr.ok ? [{ node: node.id, cidr: cidr.value }] : [];
  });
}
