/**
 * This file lists the resource types that have network interfaces in a VPC. For each it says where its groups are
 * written, and what AWS does if none is.
 *
 * `default`, the VPC's default group, is used only where AWS's documentation says so. Otherwise it is `unknown`, and an
 * interface without groups must be given some.
 * Sources: AWS CloudFormation Template Reference, the pages of the types; for load balancers the Elastic Load Balancing
 * user guides; for databases and mount targets the API references of RDS and EFS.
 */
import { KIND_INSTANCE, KIND_LAUNCH_TEMPLATE, KIND_NETWORK_INTERFACE } from './kinds.ts';

/** What AWS does if no group is named. `unfiltered`: the interface has no groups, and nothing filters it. */
export type WithoutGroups = 'default' | 'unknown' | 'unfiltered' | 'no interface';

/** A kind that names its groups in one list. */
export interface ListKind {
  readonly reads: 'list';
  /**
   * The path of properties to the list of groups. [] marks a property that is a list itself. Without the leading
   * properties there is no interface.
   */
  readonly path: readonly string[];
  readonly without: WithoutGroups;
  /** The property with the address, if there is one. */
  readonly address?: string;
  /** A property whose value decides what AWS does without groups. */
  readonly variant?: Variant;
  /** A property that names another resource; the groups are that resource's. */
  readonly follows?: Follow;
  /** What has groups beside the named ones, as a clause. */
  readonly more?: string;
}

interface Variant {
  readonly property: string;
  /** The value if the property is absent. */
  readonly otherwise: string;
  readonly without: Readonly<Record<string, WithoutGroups>>;
}

export interface Follow {
  readonly property: string;
  readonly type: string;
}

/** A kind with a reader of its own. */
interface OwnKind {
  readonly reads: 'instance' | 'network interface' | 'launch template' | 'scaling group';
}

export type InterfaceKind = ListKind | OwnKind;

export const KIND_SCALING_GROUP = 'AWS::AutoScaling::AutoScalingGroup';
export const KIND_LAUNCH_CONFIGURATION = 'AWS::AutoScaling::LaunchConfiguration';

type Row = readonly [
  type: string,
  path: string,
  without: WithoutGroups,
  more?: Omit<ListKind, 'reads' | 'path' | 'without'>,
];

const AWSVPC = 'NetworkConfiguration.AwsvpcConfiguration.SecurityGroups';
const TYPE_OF_BALANCER: Variant = {
  property: 'Type',
  otherwise: 'application',
  without: { application: 'default', network: 'unfiltered', gateway: 'no interface' },
};
const TYPE_OF_ENDPOINT: Variant = {
  property: 'VpcEndpointType',
  otherwise: 'Gateway',
  without: {
    Interface: 'default',
    Gateway: 'no interface',
    GatewayLoadBalancer: 'unfiltered',
    Resource: 'unknown',
    ServiceNetwork: 'unknown',
  },
};
const inCluster = (type: string): Follow => ({ property: 'DBClusterIdentifier', type });
const GROUP_OF_EKS =
  'EKS makes a cluster security group of its own, which is not known here and which the interfaces have too';

// prettier-ignore
const ROWS: readonly Row[] = [
  ['AWS::AmazonMQ::Broker', 'SecurityGroups', 'unknown'],
  ['AWS::ApiGatewayV2::VpcLink', 'SecurityGroupIds', 'unknown'],
  ['AWS::AppRunner::VpcConnector', 'SecurityGroups', 'default'],
  [KIND_LAUNCH_CONFIGURATION, 'SecurityGroups', 'default'],
  ['AWS::Batch::ComputeEnvironment', 'ComputeResources.SecurityGroupIds', 'unknown'],
  ['AWS::CodeBuild::Project', 'VpcConfig.SecurityGroupIds', 'unknown'],
  ['AWS::DAX::Cluster', 'SecurityGroupIds', 'default'],
  ['AWS::DMS::ReplicationInstance', 'VpcSecurityGroupIds', 'unknown'],
  ['AWS::DocDB::DBCluster', 'VpcSecurityGroupIds', 'unknown'],
  ['AWS::DocDB::DBInstance', '', 'unknown', { follows: inCluster('AWS::DocDB::DBCluster') }],
  ['AWS::DocDBElastic::Cluster', 'VpcSecurityGroupIds', 'unknown'],
  ['AWS::EC2::ClientVpnEndpoint', 'SecurityGroupIds', 'unknown'],
  ['AWS::EC2::InstanceConnectEndpoint', 'SecurityGroupIds', 'default'],
  ['AWS::EC2::VPCEndpoint', 'SecurityGroupIds', 'unknown', { variant: TYPE_OF_ENDPOINT }],
  ['AWS::ECS::Service', AWSVPC, 'default'],
  ['AWS::ECS::TaskSet', 'NetworkConfiguration.AwsVpcConfiguration.SecurityGroups', 'default'],
  ['AWS::EFS::MountTarget', 'SecurityGroups', 'default', { address: 'IpAddress' }],
  ['AWS::EKS::Cluster', 'ResourcesVpcConfig.SecurityGroupIds', 'unknown', { more: GROUP_OF_EKS }],
  ['AWS::EMRServerless::Application', 'NetworkConfiguration.SecurityGroupIds', 'unknown'],
  ['AWS::ElastiCache::CacheCluster', 'VpcSecurityGroupIds', 'unknown'],
  ['AWS::ElastiCache::ReplicationGroup', 'SecurityGroupIds', 'unknown'],
  ['AWS::ElastiCache::ServerlessCache', 'SecurityGroupIds', 'unknown'],
  ['AWS::ElasticLoadBalancing::LoadBalancer', 'SecurityGroups', 'default'],
  ['AWS::ElasticLoadBalancingV2::LoadBalancer', 'SecurityGroups', 'unknown', { variant: TYPE_OF_BALANCER }],
  ['AWS::Elasticsearch::Domain', 'VPCOptions.SecurityGroupIds', 'default'],
  ['AWS::Events::Rule', 'Targets[].EcsParameters.NetworkConfiguration.AwsVpcConfiguration.SecurityGroups', 'default'],
  ['AWS::FSx::FileSystem', 'SecurityGroupIds', 'unknown'],
  ['AWS::Glue::Connection', 'ConnectionInput.PhysicalConnectionRequirements.SecurityGroupIdList', 'unknown'],
  ['AWS::Grafana::Workspace', 'VpcConfiguration.SecurityGroupIds', 'unknown'],
  ['AWS::ImageBuilder::InfrastructureConfiguration', 'SecurityGroupIds', 'unknown'],
  ['AWS::KinesisFirehose::DeliveryStream', 'AmazonopensearchserviceDestinationConfiguration.VpcConfiguration.SecurityGroupIds', 'unknown'],
  ['AWS::Lambda::Function', 'VpcConfig.SecurityGroupIds', 'unknown'],
  ['AWS::MSK::Cluster', 'BrokerNodeGroupInfo.SecurityGroups', 'default'],
  ['AWS::MSK::ServerlessCluster', 'VpcConfigs[].SecurityGroups', 'unknown'],
  ['AWS::MWAA::Environment', 'NetworkConfiguration.SecurityGroupIds', 'unknown'],
  ['AWS::MemoryDB::Cluster', 'SecurityGroupIds', 'unknown'],
  ['AWS::Neptune::DBCluster', 'VpcSecurityGroupIds', 'unknown'],
  ['AWS::Neptune::DBInstance', '', 'unknown', { follows: inCluster('AWS::Neptune::DBCluster') }],
  ['AWS::OpenSearchServerless::VpcEndpoint', 'SecurityGroupIds', 'unknown'],
  ['AWS::OpenSearchService::Domain', 'VPCOptions.SecurityGroupIds', 'default'],
  ['AWS::Pipes::Pipe', 'TargetParameters.EcsTaskParameters.NetworkConfiguration.AwsvpcConfiguration.SecurityGroups', 'default'],
  ['AWS::QuickSight::VPCConnection', 'SecurityGroupIds', 'unknown'],
  ['AWS::RDS::DBCluster', 'VpcSecurityGroupIds', 'default'],
  ['AWS::RDS::DBInstance', 'VPCSecurityGroups', 'default', { follows: inCluster('AWS::RDS::DBCluster') }],
  ['AWS::RDS::DBProxy', 'VpcSecurityGroupIds', 'unknown'],
  ['AWS::RDS::DBProxyEndpoint', 'VpcSecurityGroupIds', 'default'],
  ['AWS::Redshift::Cluster', 'VpcSecurityGroupIds', 'default'],
  ['AWS::RedshiftServerless::Workgroup', 'SecurityGroupIds', 'unknown'],
  ['AWS::Route53Resolver::ResolverEndpoint', 'SecurityGroupIds', 'unknown'],
  ['AWS::SageMaker::Model', 'VpcConfig.SecurityGroupIds', 'unknown'],
  ['AWS::SageMaker::NotebookInstance', 'SecurityGroupIds', 'unknown'],
  ['AWS::Scheduler::Schedule', 'Target.EcsParameters.NetworkConfiguration.AwsvpcConfiguration.SecurityGroups', 'default'],
  ['AWS::Serverless::Function', 'VpcConfig.SecurityGroupIds', 'unknown'],
  ['AWS::Synthetics::Canary', 'VPCConfig.SecurityGroupIds', 'unknown'],
  ['AWS::Timestream::InfluxDBInstance', 'VpcSecurityGroupIds', 'unknown'],
  ['AWS::Transfer::Server', 'EndpointDetails.SecurityGroupIds', 'unknown'],
];

export const INTERFACE_KINDS: ReadonlyMap<string, InterfaceKind> = new Map<string, InterfaceKind>([
  [KIND_INSTANCE, { reads: 'instance' }],
  [KIND_NETWORK_INTERFACE, { reads: 'network interface' }],
  [KIND_LAUNCH_TEMPLATE, { reads: 'launch template' }],
  [KIND_SCALING_GROUP, { reads: 'scaling group' }],
  ...ROWS.map(([type, path, without, more]): [string, ListKind] => [
    type,
    { reads: 'list', path: path === '' ? [] : path.split('.'), without, ...more },
  ]),
]);
