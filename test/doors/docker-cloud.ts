/** The EC2 API beside the world of the Docker door, and a client of AWS's that uses it. */
import type { TestContext } from 'node:test';
import {
  AssociateSubnetCidrBlockCommand,
  AssociateVpcCidrBlockCommand,
  AuthorizeSecurityGroupIngressCommand,
  CreateNetworkInterfaceCommand,
  CreateSecurityGroupCommand,
  CreateSubnetCommand,
  DeleteNetworkInterfaceCommand,
  DeleteSubnetCommand,
  DescribeNetworkInterfacesCommand,
  DescribeSubnetsCommand,
  DetachNetworkInterfaceCommand,
  EC2Client,
  ModifyNetworkInterfaceAttributeCommand,
  type NetworkInterface,
} from '@aws-sdk/client-ec2';
import { startApiProgram } from '../support/api-program.ts';
import { UPLINK, type DockerWorld } from './docker-world.ts';

/** Of a subnet of the default VPC. */
export const DEFAULT_CIDR = '172.31.0.0/20';
const IN_VAIN_S = 1;

export class DockerCloud {
  readonly world: DockerWorld;
  private readonly client: EC2Client;
  /** The default VPC, and its subnet that has DEFAULT_CIDR. */
  vpcId = '';
  subnetId = '';
  /** Ids of groups: one that admits the host, and one that admits nobody. */
  open = '';
  closed = '';

  private constructor(world: DockerWorld, client: EC2Client) {
    this.world = world;
    this.client = client;
  }

  static async start(t: TestContext, world: DockerWorld): Promise<DockerCloud> {
    const { server, url, key } = await startApiProgram(world.folder, { policy: 'write' });
    t.after(() => server.stop());
    const client = new EC2Client({
      endpoint: url,
      region: 'us-east-1',
      credentials: key,
      maxAttempts: 1,
    });
    t.after(() => client.destroy());
    const cloud = new DockerCloud(world, client);
    const { Subnets } = await client.send(new DescribeSubnetsCommand({}));
    const subnet = Subnets!.find(({ CidrBlock }) => CidrBlock === DEFAULT_CIDR)!;
    cloud.subnetId = subnet.SubnetId!;
    cloud.vpcId = subnet.VpcId!;
    cloud.open = await cloud.makeGroup('open', UPLINK);
    cloud.closed = await cloud.makeGroup('closed');
    return cloud;
  }

  async make(address: string): Promise<string> {
    return (await this.makeIn(this.subnetId, address)).NetworkInterfaceId!;
  }

  /** @param address undefined: any that is free */
  async makeIn(subnetId: string, address?: string): Promise<NetworkInterface> {
    const made = await this.client.send(
      new CreateNetworkInterfaceCommand({
        SubnetId: subnetId,
        Groups: [this.open],
        ...(address === undefined ? {} : { PrivateIpAddress: address }),
      }),
    );
    return made.NetworkInterface!;
  }

  /** The id of a new subnet in the default VPC. */
  async makeSubnet(cidr: string): Promise<string> {
    const given = { VpcId: this.vpcId, CidrBlock: cidr };
    const { Subnet } = await this.client.send(new CreateSubnetCommand(given));
    return Subnet!.SubnetId!;
  }

  async deleteSubnet(SubnetId: string): Promise<void> {
    await this.client.send(new DeleteSubnetCommand({ SubnetId }));
  }

  /** Gives the default VPC and a subnet of it a block of IPv6. @returns the subnet's */
  async giveIpv6(subnetId: string): Promise<string> {
    const { client } = this;
    const { Ipv6CidrBlockAssociation } = await client.send(
      new AssociateVpcCidrBlockCommand({ VpcId: this.vpcId, AmazonProvidedIpv6CidrBlock: true }),
    );
    const block = Ipv6CidrBlockAssociation!.Ipv6CidrBlock!.replace(/\/56$/, '/64');
    await client.send(
      new AssociateSubnetCidrBlockCommand({ SubnetId: subnetId, Ipv6CidrBlock: block }),
    );
    return block;
  }

  async interfacesIn(subnetId: string): Promise<readonly NetworkInterface[]> {
    const Filters = [{ Name: 'subnet-id', Values: [subnetId] }];
    const command = new DescribeNetworkInterfacesCommand({ Filters });
    return (await this.client.send(command)).NetworkInterfaces!;
  }

  async show(id: string): Promise<NetworkInterface> {
    const command = new DescribeNetworkInterfacesCommand({ NetworkInterfaceIds: [id] });
    const { NetworkInterfaces } = await this.client.send(command);
    return NetworkInterfaces![0];
  }

  async setGroup(id: string, group: string): Promise<void> {
    const given = { NetworkInterfaceId: id, Groups: [group] };
    await this.client.send(new ModifyNetworkInterfaceAttributeCommand(given));
  }

  async delete(id: string): Promise<void> {
    await this.client.send(new DeleteNetworkInterfaceCommand({ NetworkInterfaceId: id }));
  }

  async detach(AttachmentId: string, Force = false): Promise<void> {
    await this.client.send(new DetachNetworkInterfaceCommand({ AttachmentId, Force }));
  }

  /** Whom the container of an address serves on the host: whether the host may ask it. */
  async admits(address: string): Promise<boolean> {
    const { world } = this;
    return (await world.whoAsks(world.host, address, IN_VAIN_S)) === UPLINK;
  }

  private async makeGroup(name: string, from?: string): Promise<string> {
    const { GroupId } = await this.client.send(
      new CreateSecurityGroupCommand({ GroupName: name, Description: name }),
    );
    const permission = { IpProtocol: 'tcp', FromPort: 80, ToPort: 80 };
    if (from !== undefined)
      await this.client.send(
        new AuthorizeSecurityGroupIngressCommand({
          GroupId,
          IpPermissions: [{ ...permission, IpRanges: [{ CidrIp: `${from}/32` }] }],
        }),
      );
    return GroupId!;
  }
}
