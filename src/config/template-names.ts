/** This file says which names a Region, a stack and an account may have. */

export const REGION = /^[a-z]{2,4}(-[a-z]+)+-\d+$/;
/** Source: CloudFormation API Reference, CreateStack, StackName. */
export const STACK_NAME = /^[A-Za-z][A-Za-z0-9-]{0,127}$/;
export const ACCOUNT_ID = /^\d{12}$/;
