/**
 * As much of the AWS CDK's types as the tests use, in place of its own (tsconfig.json, `paths`): those are 250,000 lines, and
 * three quarters of what the compiler would have to read. What runs is the CDK itself.
 */
type Props = Readonly<Record<string, unknown>>;

/** Whatever has an id in a tree of such. */
declare class Construct {
  constructor(scope: Construct | undefined, id: string, props?: Props);
}

// aws-cdk-lib/core
export class App extends Construct {
  constructor(props?: Props);
  synth(): {
    readonly stacks: readonly { readonly stackName: string; readonly templateFullPath: string }[];
  };
}
export class Stage extends Construct {}
export class Stack extends Construct {
  addStackDependency(target: Stack): void;
}
export class NestedStack extends Stack {}
export class CfnOutput extends Construct {}
export class CfnParameter extends Construct {
  readonly valueAsNumber: number;
}
export const Fn: {
  sub(text: string): string;
  importValue(name: string): string;
};

// aws-cdk-lib/aws-ec2
export class Vpc extends Construct {}
export class CfnPrefixList extends Construct {
  readonly ref: string;
}
export class CfnSecurityGroup extends Construct {
  readonly attrGroupId: string;
}
export class CfnSecurityGroupEgress extends Construct {}
interface Connectable {
  readonly connections: Connections;
}
interface Connections {
  allowFrom(other: Connectable | Peer, port: Port, description?: string): void;
  allowTo(other: Connectable | Peer, port: Port, description?: string): void;
  allowDefaultPortFrom(other: Connectable | Peer, description?: string): void;
  allowInternally(port: Port, description?: string): void;
}
export class SecurityGroup extends Construct {
  readonly connections: Connections;
  addIngressRule(peer: Peer, port: Port, description?: string): void;
}
export class Peer {
  private constructor();
  static anyIpv6(): Peer;
  static ipv4(cidr: string): Peer;
  static prefixList(id: string): Peer;
  static securityGroupId(id: string): Peer;
}
export class Port {
  private constructor();
  static tcp(port: number): Port;
  static udp(port: number): Port;
  static tcpRange(from: number, to: number): Port;
  static icmpPing(): Port;
  static allTraffic(): Port;
}
export const InstanceClass: { readonly T4G: string };
export const InstanceSize: { readonly MICRO: string };
export const InstanceType: { of(kind: string, size: string): unknown };

// aws-cdk-lib/aws-ecs
export class Cluster extends Construct {}
export const ContainerImage: { fromRegistry(name: string): unknown };
export class FargateTaskDefinition extends Construct {
  addContainer(id: string, props: Props): void;
}
export class FargateService extends Construct {
  readonly connections: Connections;
}

// aws-cdk-lib/aws-elasticloadbalancingv2
export class ApplicationLoadBalancer extends Construct {
  addListener(
    id: string,
    props: Props,
  ): Connectable & { addTargets(id: string, props: Props): void };
}

// aws-cdk-lib/aws-rds
export const DatabaseInstanceEngine: { postgres(props: Props): unknown };
export const PostgresEngineVersion: { readonly VER_16: unknown };
export class DatabaseInstance extends Construct {
  readonly connections: Connections;
}
