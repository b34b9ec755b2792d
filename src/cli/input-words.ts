/** What commands that take any input call it. */

/** For the help of an argument. */
export const INPUTS_ARGUMENT =
  'configurations, CloudFormation templates, cdk.out, Terraform plans or states (JSON), folders of an account';
export const INPUT_ARGUMENT =
  'a configuration, CloudFormation template, cdk.out, Terraform plan or state (JSON), or folder of an account';
