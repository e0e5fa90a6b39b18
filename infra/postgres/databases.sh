#!/bin/sh
# One database and one owner each for Dagster, MLflow and Optuna. PostgreSQL's image runs it once, on an empty volume.
set -eu

database() { # name, password
    psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
        --set name="$1" --set password="$2" <<-'SQL'
		CREATE ROLE :"name" LOGIN PASSWORD :'password';
		CREATE DATABASE :"name" OWNER :"name";
		REVOKE CONNECT ON DATABASE :"name" FROM PUBLIC;
	SQL
}

database dagster "$DAGSTER_PASSWORD"
database mlflow "$MLFLOW_PASSWORD"
database optuna "$OPTUNA_PASSWORD"
