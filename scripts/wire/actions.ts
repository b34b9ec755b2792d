/** The actions whose wire names the table of src/api/ holds, by service. */

/** EC2: security groups, tags, VPCs and subnets, prefix lists, network interfaces, flow logs, Reachability Analyzer. */
const EC2 = `
CreateSecurityGroup DeleteSecurityGroup DescribeSecurityGroups DescribeSecurityGroupRules ModifySecurityGroupRules
AuthorizeSecurityGroupIngress AuthorizeSecurityGroupEgress RevokeSecurityGroupIngress RevokeSecurityGroupEgress
UpdateSecurityGroupRuleDescriptionsIngress UpdateSecurityGroupRuleDescriptionsEgress DescribeSecurityGroupReferences
DescribeStaleSecurityGroups GetSecurityGroupsForVpc AssociateSecurityGroupVpc DisassociateSecurityGroupVpc
DescribeSecurityGroupVpcAssociations
CreateTags DeleteTags DescribeTags
DescribeVpcs DescribeVpcAttribute DescribeSubnets DescribeRouteTables DescribeNetworkAcls DescribeAvailabilityZones
DescribeAccountAttributes DescribeRegions
CreateManagedPrefixList ModifyManagedPrefixList GetManagedPrefixListEntries DescribeManagedPrefixLists
GetManagedPrefixListAssociations RestoreManagedPrefixListVersion DeleteManagedPrefixList DescribePrefixLists
CreateNetworkInterface DeleteNetworkInterface DescribeNetworkInterfaces DescribeNetworkInterfaceAttribute
ModifyNetworkInterfaceAttribute ResetNetworkInterfaceAttribute AssignPrivateIpAddresses UnassignPrivateIpAddresses
AssignIpv6Addresses UnassignIpv6Addresses AttachNetworkInterface DetachNetworkInterface
CreateVpc DeleteVpc ModifyVpcAttribute CreateSubnet DeleteSubnet ModifySubnetAttribute AssociateVpcCidrBlock
DisassociateVpcCidrBlock AssociateSubnetCidrBlock DisassociateSubnetCidrBlock CreateDefaultVpc CreateDefaultSubnet
CreateFlowLogs DescribeFlowLogs DeleteFlowLogs
CreateNetworkInsightsPath DeleteNetworkInsightsPath DescribeNetworkInsightsPaths StartNetworkInsightsAnalysis
DeleteNetworkInsightsAnalysis DescribeNetworkInsightsAnalyses
CreateNetworkInsightsAccessScope DeleteNetworkInsightsAccessScope DescribeNetworkInsightsAccessScopes
GetNetworkInsightsAccessScopeContent StartNetworkInsightsAccessScopeAnalysis
DeleteNetworkInsightsAccessScopeAnalysis DescribeNetworkInsightsAccessScopeAnalyses
GetNetworkInsightsAccessScopeAnalysisFindings`;

const STS = 'GetCallerIdentity AssumeRole';

/** CloudFormation: what `aws cloudformation deploy`, the CLI's waiters and `cdk deploy` call. */
const CLOUDFORMATION = `
CreateStack UpdateStack DeleteStack DescribeStacks DescribeStackEvents DescribeEvents DescribeStackResource
DescribeStackResources ListStackResources ListStacks ListExports ListImports
CreateChangeSet DescribeChangeSet ExecuteChangeSet DeleteChangeSet ListChangeSets DescribeChangeSetHooks
GetTemplate GetTemplateSummary ValidateTemplate GetStackPolicy SetStackPolicy UpdateTerminationProtection
CancelUpdateStack ContinueUpdateRollback RollbackStack`;

export interface ServiceSource {
  /** The name in a signature's scope. */
  readonly service: 'ec2' | 'sts' | 'cloudformation';
  readonly packageName: string;
  /** The class of its client. */
  readonly client: string;
  readonly actions: readonly string[];
}

const words = (text: string): string[] => text.trim().split(/\s+/);

export const SERVICES: readonly ServiceSource[] = [
  {
    service: 'ec2',
    packageName: '@aws-sdk/client-ec2',
    client: 'EC2Client',
    actions: words(EC2),
  },
  {
    service: 'sts',
    packageName: '@aws-sdk/client-sts',
    client: 'STSClient',
    actions: words(STS),
  },
  {
    service: 'cloudformation',
    packageName: '@aws-sdk/client-cloudformation',
    client: 'CloudFormationClient',
    actions: words(CLOUDFORMATION),
  },
];
