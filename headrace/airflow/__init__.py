"""What the DAGs under dags/ are made of. Needs Airflow 3; of Headrace it imports `headrace.steps` alone, so no Spark.

It is a package of the wheel and no folder of the bundle, because the triggerer imports triggers and knows no bundle.
"""
