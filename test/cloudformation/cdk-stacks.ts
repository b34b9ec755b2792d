/** Stacks as people write them with the AWS CDK, synthesised here: what the templates hold is the CDK's own doing. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { App, CfnOutput, Stack } from 'aws-cdk-lib/core';
import {
  CfnPrefixList,
  InstanceClass,
  InstanceSize,
  InstanceType,
  Peer,
  Port,
  SecurityGroup,
  Vpc,
} from 'aws-cdk-lib/aws-ec2';
import {
  Cluster,
  ContainerImage,
  FargateService,
  FargateTaskDefinition,
} from 'aws-cdk-lib/aws-ecs';
import { ApplicationLoadBalancer } from 'aws-cdk-lib/aws-elasticloadbalancingv2';
import {
  DatabaseInstance,
  DatabaseInstanceEngine,
  PostgresEngineVersion,
} from 'aws-cdk-lib/aws-rds';

/** Texts of the templates by stack name. */
function synthesise(define: (app: App) => void): ReadonlyMap<string, string> {
  const outdir = mkdtempSync(join(tmpdir(), 'sgt-cdk-'));
  try {
    const app = new App({ outdir, analyticsReporting: false, treeMetadata: false });
    define(app);
    const { stacks } = app.synth();
    return new Map(
      stacks.map(({ stackName, templateFullPath }) => [
        stackName,
        readFileSync(templateFullPath, 'utf8'),
      ]),
    );
  } finally {
    rmSync(outdir, { recursive: true });
  }
}

/** A load balancer open to both families, a Fargate service behind it, a database behind that, and an administrator's group. */
export function synthesiseShop(): string {
  const stacks = synthesise((app) => {
    const stack = new Stack(app, 'shop');
    const vpc = new Vpc(stack, 'Vpc', { maxAzs: 2, natGateways: 1 });
    const office = new CfnPrefixList(stack, 'Office', {
      prefixListName: 'office',
      addressFamily: 'IPv4',
      maxEntries: 5,
      entries: [{ cidr: '198.51.100.0/24', description: 'office' }],
    });

    const cluster = new Cluster(stack, 'Cluster', { vpc });
    const taskDefinition = new FargateTaskDefinition(stack, 'Task');
    taskDefinition.addContainer('app', {
      image: ContainerImage.fromRegistry('example/app'),
      portMappings: [{ containerPort: 8080 }],
    });
    const service = new FargateService(stack, 'Service', { cluster, taskDefinition });

    const balancer = new ApplicationLoadBalancer(stack, 'Balancer', { vpc, internetFacing: true });
    const listener = balancer.addListener('Http', { port: 80 });
    listener.addTargets('App', { port: 8080, targets: [service] });
    listener.connections.allowFrom(Peer.anyIpv6(), Port.tcp(443), 'HTTPS over IPv6');

    const database = new DatabaseInstance(stack, 'Database', {
      engine: DatabaseInstanceEngine.postgres({ version: PostgresEngineVersion.VER_16 }),
      instanceType: InstanceType.of(InstanceClass.T4G, InstanceSize.MICRO),
      vpc,
    });
    service.connections.allowTo(database, Port.tcp(5432), 'service to database');
    database.connections.allowDefaultPortFrom(Peer.ipv4('192.0.2.0/28'), 'backups');

    const admin = new SecurityGroup(stack, 'Admin', {
      vpc,
      securityGroupName: 'admin',
      description: 'Administrators',
      allowAllOutbound: false,
    });
    admin.addIngressRule(Peer.prefixList(office.ref), Port.tcp(22), 'SSH from the office');
    admin.connections.allowTo(service, Port.tcp(8080), 'look at the service');
    admin.connections.allowFrom(service, Port.udp(514), 'logs of the service');
    admin.connections.allowInternally(Port.icmpPing(), 'ping each other');

    new SecurityGroup(stack, 'Sealed', {
      vpc,
      securityGroupName: 'sealed',
      description: 'May reach nothing',
      allowAllOutbound: false,
    });
    const six = new SecurityGroup(stack, 'Six', {
      vpc,
      securityGroupName: 'six',
      description: 'Both families out',
      allowAllIpv6Outbound: true,
    });
    six.addIngressRule(Peer.securityGroupId('sg-0123456789abcdef0'), Port.tcpRange(8000, 8010));
    six.addIngressRule(Peer.ipv4('10.9.0.0/16'), Port.allTraffic());
  });
  return stacks.get('shop')!;
}

/** Two stacks whose groups name each other's: the CDK makes exports, and rules in the stack that needs them. */
export function synthesisePair(): ReadonlyMap<string, string> {
  return synthesise((app) => {
    const front = new Stack(app, 'front');
    const vpc = new Vpc(front, 'Vpc', { maxAzs: 1, natGateways: 0 });
    const web = new SecurityGroup(front, 'Web', {
      vpc,
      securityGroupName: 'web',
      description: 'Web',
      allowAllOutbound: false,
    });
    new CfnOutput(front, 'Note', { value: 'of no use here' });
    const back = new Stack(app, 'back');
    const api = new SecurityGroup(back, 'Api', {
      vpc,
      securityGroupName: 'api',
      description: 'Api',
      allowAllOutbound: false,
    });
    api.connections.allowFrom(web, Port.tcp(9000), 'web to api');
  });
}
