"""Resources of services beside Lambda, made by the services' own APIs, which moto answers.

Types that deployments of functions need, and that moto's models for stacks lack, or know only by half.
"""
